/* One model, loaded and ready to run: ONNX Runtime on the processor, one thread pool with the threads asked for. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ort_api.h"

#define ENVIRONMENT_NAME "edgekit"

const char *const runtime_name = "onnxruntime";

struct side { /* the inputs, or the outputs, in the order of the graph */
    struct tensor *tensors;
    const char **names;
    ort_handle *values;
    size_t count;
};

struct session {
    struct ort_api api;
    ort_handle environment, session, allocator;
    struct side in, out;
    bool outputs_known; /* after the first inference: their shapes may depend on it */
    char failure[1024]; /* words of the last inference that failed */
};

/* Takes the status: its words into `words`, its number as the result; 0 where all is well. */
static int taken(const struct ort_api *api, ort_status status, char *words, size_t size) {
    if (status == NULL) return 0;
    int number = api->error_code(status);
    snprintf(words, size, "%s", api->error_message(status));
    api->release_status(status);
    return number ? number : -1;
}

static void check(const struct session *session, ort_status status, const char *code, const char *what) {
    char words[1024];
    if (taken(&session->api, status, words, sizeof words) != 0) fail(code, "%s (ONNX Runtime: %s)", what, words);
}

static ort_handle make_options(const struct session *session, const struct options *wanted) {
    const struct ort_api *api = &session->api;
    const char *code = "E_RUNNER_LIBRARY";
    ort_handle options;
    check(session, api->create_options(&options), code, "cannot make options");
    check(session, api->set_intra_threads(options, wanted->threads), code, "cannot set the number of threads");
    check(session, api->set_inter_threads(options, 1), code, "cannot set the number of threads");
    check(session, api->set_execution_mode(options, ORT_SEQUENTIAL), code, "cannot set the mode of execution");
    check(session, api->set_optimization(options, ORT_OPTIMIZE_ALL), code, "cannot set the optimization");
    if (wanted->op_profile)
        check(session, api->enable_profiling(options, wanted->op_profile), code, "cannot time the operators");
    return options;
}

/* Reading and preparing are one call, so one time. A path, not bytes: weights may be in files beside the model. */
static void create_session(struct session *session, const struct options *options) {
    const struct ort_api *api = &session->api;
    char words[1024];
    ort_handle settings = make_options(session, options);
    ort_status status = api->create_session(session->environment, options->model, settings, &session->session);
    int number = taken(api, status, words, sizeof words);
    if (number == ORT_INVALID_PROTOBUF || number == ORT_NO_SUCH_FILE)
        fail("E_MODEL_LOAD", "ONNX Runtime cannot load the model: %s", words);
    if (number != 0) fail("E_MODEL_COMPILE", "ONNX Runtime cannot prepare the model: %s", words);
    api->release_options(settings);
}

/* Type and shape as `info` has them, whether of a model's input or output or of a value. */
static void describe(const struct session *session, struct tensor *tensor, ort_handle info, const char *role) {
    const struct ort_api *api = &session->api;
    int64_t dims[MAX_RANK];
    size_t rank = 0;
    int number = 0;
    check(session, api->element_type(info, &number), "E_MODEL_LOAD", "cannot read a tensor's type");
    tensor_set_type(tensor, ort_element(number), number, role);
    check(session, api->rank(info, &rank), "E_MODEL_LOAD", "cannot read a tensor's shape");
    tensor_set_rank(tensor, rank);
    check(session, api->dimensions(info, dims, rank), "E_MODEL_LOAD", "cannot read a tensor's shape");
    for (size_t d = 0; d < rank; d++) {
        if (dims[d] > INT32_MAX) fail("E_MODEL_UNSUPPORTED", "the %s '%s' is too large", role, tensor->name);
        tensor->dims[d] = dims[d] < 0 ? -1 : (int32_t)dims[d];
    }
}

typedef ort_status (*count_function)(ort_handle, size_t *);
typedef ort_status (*name_function)(ort_handle, size_t, ort_handle, char **);
typedef ort_status (*type_function)(ort_handle, size_t, ort_handle *);

static void describe_side(struct session *session, struct side *side, const char *role, count_function count,
                          name_function name, type_function type) {
    const struct ort_api *api = &session->api;
    check(session, count(session->session, &side->count), "E_MODEL_LOAD", "cannot count the model's tensors");
    side->tensors = allocate(side->count, sizeof *side->tensors);
    side->names = allocate(side->count, sizeof *side->names);
    side->values = allocate(side->count, sizeof *side->values);
    for (size_t i = 0; i < side->count; i++) {
        struct tensor *tensor = &side->tensors[i];
        ort_handle model_type, info = NULL;
        int kind = 0;
        check(session, name(session->session, i, session->allocator, &tensor->name), "E_MODEL_LOAD",
              "cannot read a tensor's name");
        side->names[i] = tensor->name;
        check(session, type(session->session, i, &model_type), "E_MODEL_LOAD", "cannot read a tensor's type");
        check(session, api->kind_of(model_type, &kind), "E_MODEL_LOAD", "cannot read a tensor's type");
        if (kind != ORT_KIND_TENSOR) fail("E_MODEL_UNSUPPORTED", "the %s '%s' is not a tensor", role, tensor->name);
        check(session, api->tensor_info(model_type, &info), "E_MODEL_LOAD", "cannot read a tensor's type");
        describe(session, tensor, info, role);
        api->release_type(model_type); /* `info` was part of it */
    }
}

/* A dimension that is open in the model (batch, mostly) becomes 1. */
static void make_inputs(struct session *session) {
    for (size_t i = 0; i < session->in.count; i++) {
        struct tensor *tensor = &session->in.tensors[i];
        int64_t dims[MAX_RANK];
        for (int d = 0; d < tensor->rank; d++) {
            if (tensor->dims[d] < 0) tensor->dims[d] = 1;
            dims[d] = tensor->dims[d];
        }
        tensor_set_bytes(tensor, "input");
        check(session,
              session->api.create_tensor(session->allocator, dims, (size_t)tensor->rank,
                                         ort_number(tensor->element_type), &session->in.values[i]),
              "E_MODEL_COMPILE", "cannot make an input's buffer");
    }
}

struct session *session_open(const struct options *options, struct times *times, struct memory *memory) {
    struct session *session = allocate(1, sizeof *session);
    struct ort_api *api = &session->api;
    model_file_check(options->model);
    int64_t begin = now_ns();
    ort_open(api, options->library);
    times->dlopen_us = micros_since(begin);
    begin = now_ns();
    /* nothing is logged below fatal: each error comes back as a status, whose words are in the answer */
    check(session, api->create_environment(ORT_LOG_FATAL, ENVIRONMENT_NAME, &session->environment),
          "E_RUNNER_LIBRARY", "cannot start the runtime");
    check(session, api->default_allocator(&session->allocator), "E_RUNNER_LIBRARY", "cannot start the runtime");
    times->environment_us = micros_since(begin);
    memory->rss_runtime_bytes = rss_bytes();
    capture_begin(); /* fail() ends it too, and adds what the library said */
    begin = now_ns();
    create_session(session, options);
    describe_side(session, &session->in, "input", api->input_count, api->input_name, api->input_type);
    describe_side(session, &session->out, "output", api->output_count, api->output_name, api->output_type);
    if (session->out.count == 0) fail("E_MODEL_UNSUPPORTED", "the model has no outputs");
    make_inputs(session);
    times->compile_us = micros_since(begin);
    capture_end(NULL, 0);
    memory->rss_loaded_bytes = rss_bytes();
    return session;
}

const struct tensor *session_inputs(const struct session *session, size_t *count) {
    *count = session->in.count;
    return session->in.tensors;
}

const struct tensor *session_outputs(const struct session *session, size_t *count) {
    *count = session->out.count;
    return session->out.tensors;
}

static void *data_of(const struct session *session, ort_handle value) {
    void *data = NULL;
    check(session, session->api.tensor_data(value, &data), "E_MODEL_RUN", "cannot map a tensor's buffer");
    return data;
}

void session_write_inputs(struct session *session, const uint8_t *packed) {
    for (size_t i = 0; i < session->in.count; i++) {
        const struct tensor *tensor = &session->in.tensors[i];
        if (tensor->bytes) memcpy(data_of(session, session->in.values[i]), packed, tensor->bytes);
        packed += tensor->bytes;
    }
}

void session_read_outputs(struct session *session, uint8_t *packed) {
    for (size_t i = 0; i < session->out.count; i++) {
        const struct tensor *tensor = &session->out.tensors[i];
        if (tensor->bytes) memcpy(packed, data_of(session, session->out.values[i]), tensor->bytes);
        packed += tensor->bytes;
    }
}

static void learn_outputs(struct session *session) {
    for (size_t i = 0; i < session->out.count; i++) {
        struct tensor *tensor = &session->out.tensors[i];
        ort_handle info;
        check(session, session->api.value_info(session->out.values[i], &info), "E_MODEL_RUN",
              "cannot read an output's shape");
        describe(session, tensor, info, "output");
        session->api.release_info(info);
        tensor_set_bytes(tensor, "output");
    }
    session->outputs_known = true;
}

/* The first inference makes the outputs, in the shapes that come of it; all later ones write into the same memory,
 * so an output whose shape changes with the inputs is an error of the runtime that names both shapes. */
int session_run(void *context) {
    struct session *session = context;
    ort_status status = session->api.run(session->session, NULL, session->in.names, session->in.values,
                                         session->in.count, session->out.names, session->out.count,
                                         session->out.values);
    if (status != NULL) return taken(&session->api, status, session->failure, sizeof session->failure);
    if (!session->outputs_known) learn_outputs(session);
    return 0;
}

/* ONNX Runtime adds the time of day to the name that it was given, and tells what came of it. */
void session_write_op_profile(struct session *session, const char *path) {
    char *written = NULL;
    check(session, session->api.end_profiling(session->session, session->allocator, &written), "E_RUNNER_FILE",
          "cannot write the operators' times");
    if (rename(written, path) != 0)
        fail("E_RUNNER_FILE", "cannot write the operators' times %s: %s", path, strerror(errno));
}

const char *session_status(const struct session *session) { return session->failure; }

const char *session_runtime_version(const struct session *session) { return session->api.version; }

int session_fully_accelerated(const struct session *session) {
    (void)session;
    return -1; /* these versions of its API do not tell */
}
