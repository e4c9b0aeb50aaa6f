/* One model, loaded and ready to run: LiteRT on the processor, through XNNPACK with the threads asked for. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "session.h"

const char *const runtime_name = "litert";

static lrt_handle make_options(const struct session *session, const struct options *wanted) {
    const struct litert_api *api = &session->api;
    const char *code = "E_RUNNER_LIBRARY";
    lrt_handle options, xnnpack;
    char text[80];
    snprintf(text, sizeof text, "kernel_mode = \"delegate\"\nnum_threads = %d\n", wanted->threads);
    char *payload = strdup(text); /* LiteRT frees it */
    if (payload == NULL) fail("E_RUNNER_MEMORY", "no memory for the options");
    check(api->create_options(&options), code, "cannot make options");
    check(api->set_accelerators(options, LRT_ACCELERATOR_CPU), code, "cannot ask for the processor");
    check(api->create_opaque_options("xnnpack", payload, free, &xnnpack), code, "cannot make options");
    check(api->add_opaque_options(options, xnnpack), code, "cannot set the number of threads");
    if (wanted->op_profile) profile_ask(session, options);
    return options;
}

/* The signature that stands for the main graph, as the Python Interpreter runs it; else the first. */
static void choose_signature(struct session *session) {
    const struct litert_api *api = &session->api;
    lrt_index count = 0, main_index = 0;
    lrt_handle wanted = NULL, graph = NULL;
    check(api->num_signatures(session->model, &count), "E_MODEL_LOAD", "the model has no signature");
    if (count == 0) fail("E_MODEL_UNSUPPORTED", "the model has no signature and no main graph");
    if (api->main_subgraph_index(session->model, &main_index) == 0)
        api->subgraph(session->model, main_index, &wanted);
    session->signature_index = 0;
    for (lrt_index i = count; i-- > 0;) {
        lrt_handle signature;
        check(api->signature(session->model, i, &signature), "E_MODEL_LOAD", "cannot read a signature");
        bool is_main = api->signature_subgraph(signature, &graph) == 0 && graph == wanted;
        if (is_main || i == 0) session->signature = signature;
        if (is_main || i == 0) session->signature_index = i;
        if (is_main) break;
    }
}

typedef lrt_status (*count_function)(lrt_handle, lrt_index *);
typedef lrt_status (*tensor_function)(lrt_handle, lrt_index, lrt_handle *);

static uint32_t tensor_number(const struct session *session, tensor_function get, lrt_handle owner, lrt_index at,
                              lrt_handle *tensor) {
    uint32_t number = 0;
    check(get(owner, at, tensor), "E_MODEL_LOAD", "cannot read a tensor of the model");
    check(session->api.tensor_index(*tensor, &number), "E_MODEL_LOAD", "cannot read a tensor's number");
    return number;
}

/* A signature may list tensors in another order than the graph. Files follow the graph's; where the two do
 * not hold the same tensors, the signature's own order is all there is. */
static void order_of(const struct session *session, struct side *side, count_function graph_count,
                     tensor_function graph_tensor, tensor_function signature_tensor) {
    lrt_handle graph = NULL, tensor;
    lrt_index in_graph = 0;
    for (size_t i = 0; i < side->count; i++) side->slots[i] = i;
    if (session->api.signature_subgraph(session->signature, &graph) != 0) return;
    if (graph_count(graph, &in_graph) != 0 || in_graph != side->count) return;
    size_t *slots = allocate(side->count, sizeof *slots);
    for (size_t i = 0; i < side->count; i++) {
        uint32_t wanted = tensor_number(session, graph_tensor, graph, i, &tensor);
        size_t at = 0;
        while (at < side->count && tensor_number(session, signature_tensor, session->signature, at, &tensor) != wanted)
            at++;
        if (at == side->count) {
            free(slots);
            return;
        }
        slots[i] = at;
    }
    free(side->slots);
    side->slots = slots;
}

static void describe(const struct session *session, struct tensor *tensor, lrt_handle handle, const char *role) {
    const char *name = NULL;
    int type_id = 0;
    lrt_tensor_type type;
    check(session->api.tensor_name(handle, &name), "E_MODEL_LOAD", "cannot read a tensor's name");
    tensor->name = strdup(name ? name : "");
    if (tensor->name == NULL) fail("E_RUNNER_MEMORY", "no memory for a name");
    check(session->api.tensor_type_id(handle, &type_id), "E_MODEL_LOAD", "cannot read a tensor's type");
    if (type_id != 0) fail("E_MODEL_UNSUPPORTED", "the %s '%s' has no fixed number of dimensions", role, tensor->name);
    check(session->api.tensor_type(handle, &type), "E_MODEL_LOAD", "cannot read a tensor's type");
    tensor_set_rank(tensor, type.layout.rank);
    memcpy(tensor->dims, type.layout.dimensions, sizeof tensor->dims);
    tensor_set_type(tensor, litert_element(type.element_type), type.element_type, role);
}

static void describe_side(const struct session *session, struct side *side, const char *role, count_function count,
                          tensor_function signature_tensor, count_function graph_count, tensor_function graph_tensor) {
    check(count(session->signature, &side->count), "E_MODEL_LOAD", "cannot count the model's tensors");
    side->tensors = allocate(side->count, sizeof *side->tensors);
    side->buffers = allocate(side->count, sizeof *side->buffers);
    side->slots = allocate(side->count, sizeof *side->slots);
    order_of(session, side, graph_count, graph_tensor, signature_tensor);
    for (size_t i = 0; i < side->count; i++) {
        lrt_handle handle;
        tensor_number(session, signature_tensor, session->signature, side->slots[i], &handle);
        describe(session, &side->tensors[i], handle, role);
    }
}

static void set_layout(struct tensor *tensor, const lrt_layout *layout, const char *role) {
    tensor_set_rank(tensor, layout->rank);
    for (int d = 0; d < tensor->rank; d++) tensor->dims[d] = layout->dimensions[d];
    tensor_set_bytes(tensor, role);
}

/* A dimension that is open in the model (batch, mostly) becomes 1. */
static void close_shapes(struct session *session) {
    const struct litert_api *api = &session->api;
    for (size_t i = 0; i < session->in.count; i++) {
        struct tensor *tensor = &session->in.tensors[i];
        lrt_index slot = session->in.slots[i];
        bool open = false;
        for (int d = 0; d < tensor->rank; d++) {
            if (tensor->dims[d] >= 0) continue;
            tensor->dims[d] = 1;
            open = true;
        }
        if (open)
            check(api->resize_input(session->compiled, session->signature_index, slot, tensor->dims, (size_t)tensor->rank),
                  "E_MODEL_UNSUPPORTED", "cannot set the open dimensions of an input to 1");
        lrt_layout layout;
        check(api->input_layout(session->compiled, session->signature_index, slot, &layout), "E_MODEL_COMPILE",
              "cannot read an input's shape");
        set_layout(tensor, &layout, "input");
    }
    lrt_layout *layouts = allocate(session->out.count, sizeof *layouts);
    check(api->output_layouts(session->compiled, session->signature_index, session->out.count, layouts, true),
          "E_MODEL_COMPILE", "cannot read the outputs' shapes");
    for (size_t i = 0; i < session->out.count; i++)
        set_layout(&session->out.tensors[i], &layouts[session->out.slots[i]], "output");
    free(layouts);
}

typedef lrt_status (*requirements_function)(lrt_handle, lrt_index, lrt_index, lrt_handle *);

static void make_buffers(struct session *session, struct side *side, requirements_function get) {
    for (size_t i = 0; i < side->count; i++) {
        const struct tensor *tensor = &side->tensors[i];
        lrt_handle requirements, *buffer = &side->buffers[side->slots[i]];
        lrt_tensor_type type = {.element_type = litert_number(tensor->element_type),
                                .layout = {.rank = (unsigned)tensor->rank & 0x7F}};
        memcpy(type.layout.dimensions, tensor->dims, sizeof tensor->dims);
        check(get(session->compiled, session->signature_index, side->slots[i], &requirements),
              "E_MODEL_COMPILE", "cannot learn what buffer a tensor needs");
        check(session->api.create_buffer(session->environment, &type, requirements, buffer),
              "E_MODEL_COMPILE", "cannot make a tensor's buffer");
        size_t size = 0;
        check(session->api.buffer_size(*buffer, &size), "E_MODEL_COMPILE", "cannot read a buffer's size");
        if (size < tensor->bytes)
            fail("E_MODEL_COMPILE", "the buffer of '%s' has %zu bytes, its shape needs %zu", tensor->name, size,
                 tensor->bytes);
    }
}

static void load_model(struct session *session, const struct options *options, struct times *times) {
    const struct litert_api *api = &session->api;
    int64_t begin = now_ns();
    check(api->create_model_from_file(session->environment, options->model, &session->model), "E_MODEL_LOAD",
          "LiteRT cannot load the model");
    choose_signature(session);
    describe_side(session, &session->in, "input", api->num_inputs, api->input_tensor, api->num_subgraph_inputs,
                  api->subgraph_input);
    describe_side(session, &session->out, "output", api->num_outputs, api->output_tensor, api->num_subgraph_outputs,
                  api->subgraph_output);
    times->model_us = micros_since(begin);
}

static void compile_model(struct session *session, const struct options *options, struct times *times) {
    int64_t begin = now_ns();
    lrt_handle settings = make_options(session, options);
    check(session->api.create_compiled_model(session->environment, session->model, settings, &session->compiled),
          "E_MODEL_COMPILE", "LiteRT cannot prepare the model");
    if (options->op_profile) profile_begin(session);
    close_shapes(session);
    make_buffers(session, &session->in, session->api.input_requirements);
    make_buffers(session, &session->out, session->api.output_requirements);
    times->compile_us = micros_since(begin);
}

struct session *session_open(const struct options *options, struct times *times, struct memory *memory) {
    struct session *session = allocate(1, sizeof *session);
    model_file_check(options->model);
    int64_t begin = now_ns();
    litert_open(&session->api, options->library);
    times->dlopen_us = micros_since(begin);
    begin = now_ns();
    check(session->api.create_environment(0, NULL, &session->environment), "E_RUNNER_LIBRARY",
          "cannot start the runtime");
    times->environment_us = micros_since(begin);
    memory->rss_runtime_bytes = rss_bytes();
    capture_begin(); /* fail() ends it too, and adds what the library said */
    load_model(session, options, times);
    compile_model(session, options, times);
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

static void *lock(struct session *session, lrt_handle buffer, int mode) {
    void *memory = NULL;
    check(session->api.lock_buffer(buffer, &memory, mode), "E_MODEL_RUN", "cannot map a tensor's buffer");
    return memory;
}

void session_write_inputs(struct session *session, const uint8_t *packed) {
    for (size_t i = 0; i < session->in.count; i++) {
        lrt_handle buffer = session->in.buffers[session->in.slots[i]];
        memcpy(lock(session, buffer, LRT_LOCK_WRITE), packed, session->in.tensors[i].bytes);
        session->api.unlock_buffer(buffer);
        packed += session->in.tensors[i].bytes;
    }
}

void session_read_outputs(struct session *session, uint8_t *packed) {
    for (size_t i = 0; i < session->out.count; i++) {
        lrt_handle buffer = session->out.buffers[session->out.slots[i]];
        memcpy(packed, lock(session, buffer, LRT_LOCK_READ), session->out.tensors[i].bytes);
        session->api.unlock_buffer(buffer);
        packed += session->out.tensors[i].bytes;
    }
}

int session_run(void *context) {
    struct session *session = context;
    session->status = session->api.run(session->compiled, session->signature_index, session->in.count,
                                       session->in.buffers, session->out.count, session->out.buffers);
    return session->status;
}

const char *session_status(const struct session *session) { return litert_status_words(session->status); }

const char *session_runtime_version(const struct session *session) {
    (void)session;
    return NULL; /* the library has no function that tells */
}

int session_fully_accelerated(const struct session *session) {
    bool fully = false;
    return session->api.fully_accelerated(session->compiled, &fully) == 0 ? fully : -1;
}
