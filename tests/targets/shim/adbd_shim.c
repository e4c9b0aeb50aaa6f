/* What an adbd outside of Android lacks. Preloaded into Debian's adbd:
 *
 * - GetProperty reads a file of $PROPDIR (Android's property service is not there), so that the device has an
 *   identity and the port can be set as on a phone (service.adb.tcp.port);
 * - bind never takes an AF_VSOCK address, which no network namespace confines; with BIND_LOOPBACK set, "all
 *   addresses" becomes 127.0.0.1;
 * - android_get_control_socket gives the file descriptor in $ANDROID_SOCKET_<name>, as init passes it.
 *
 * Its own variables leave the environment at once: the shells that adbd starts must not see them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* std::string of libstdc++: `data` points at `local` or at memory of operator new (malloc). Returned by value it
 * goes through memory in C as in C++; `data` is always from malloc here, so moving the struct is harmless. */
struct string {
    char *data;
    size_t size;
    union {
        char local[16];
        size_t capacity;
    } rest;
};

static char *property_folder;
static int loopback_only;
static int auth_socket = -1;

__attribute__((constructor)) static void start(void) {
    const char *value = getenv("PROPDIR");
    property_folder = value ? strdup(value) : NULL;
    loopback_only = getenv("BIND_LOOPBACK") != NULL;
    if ((value = getenv("ANDROID_SOCKET_adbd"))) auth_socket = atoi(value);
    unsetenv("LD_PRELOAD");
    unsetenv("PROPDIR");
    unsetenv("BIND_LOOPBACK");
    unsetenv("ANDROID_SOCKET_adbd");
}

static struct string copy(const char *bytes, size_t size) {
    struct string out;
    memset(&out, 0, sizeof out);
    out.rest.capacity = size < sizeof out.rest.local ? sizeof out.rest.local : size;
    out.data = malloc(out.rest.capacity + 1);
    if (!out.data) abort();
    memcpy(out.data, bytes, size);
    out.data[size] = 0;
    out.size = size;
    return out;
}

/* std::string android::base::GetProperty(const std::string& key, const std::string& default_value) */
struct string
_ZN7android4base11GetPropertyERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEES8_(
    const struct string *key, const struct string *fallback) {
    char path[512], value[1024];
    if (!property_folder || strchr(key->data, '/')) return copy(fallback->data, fallback->size);
    snprintf(path, sizeof path, "%s/%s", property_folder, key->data);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return copy(fallback->data, fallback->size);
    ssize_t size = read(file, value, sizeof value);
    close(file);
    while (size > 0 && value[size - 1] == '\n') size--;
    if (size <= 0) return copy(fallback->data, fallback->size);
    return copy(value, (size_t)size);
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
    if (address->sa_family == AF_VSOCK) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    struct sockaddr_in6 own;
    if (loopback_only && address->sa_family == AF_INET6 && length >= sizeof own) {
        memcpy(&own, address, sizeof own);
        if (IN6_IS_ADDR_UNSPECIFIED(&own.sin6_addr)) {
            static const unsigned char mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
            memcpy(&own.sin6_addr, mapped, sizeof mapped);
        }
        return (int)syscall(SYS_bind, fd, &own, sizeof own);
    }
    return (int)syscall(SYS_bind, fd, address, length);
}

int android_get_control_socket(const char *name) {
    return strcmp(name, "adbd") == 0 ? auth_socket : -1;
}
