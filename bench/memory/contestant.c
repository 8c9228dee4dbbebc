/* SPDX-License-Identifier: MIT */
/* The processes that measure: this program again, as `bench_memory --child WORKLOAD CONTESTANT
 * SHRINK`, with a peer's malloc preloaded by the loader. The child prints "name value" lines;
 * thread rule: one user. */
#include "bench.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const contestant_t contestants[] = {
#define BENCH_ROW(name, label, driver, preload) {label, preload, DRIVER_##driver},
    BENCH_CONTESTANTS(BENCH_ROW)
#undef BENCH_ROW
};

const contestant_t *contestant_at(size_t id)
{
    return &contestants[id];
}

bool contestant_loaded(const contestant_t *contestant)
{
    Dl_info info;
    void *function = dlsym(RTLD_DEFAULT, "malloc");
    if (contestant->preload[0] == '\0') {
        return true;
    }
    return function != NULL && dladdr(function, &info) != 0 && info.dli_fname != NULL &&
           strstr(info.dli_fname, contestant->preload) != NULL;
}

/* The environment with LD_PRELOAD as its first entry, or without any. */
static char **make_environment(char *preload)
{
    size_t count = 0;
    size_t used = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **copy = calloc(count + 2, sizeof(*copy));
    if (copy == NULL) {
        return NULL;
    }
    if (preload != NULL) {
        copy[used++] = preload;
    }
    for (size_t i = 0; i < count; i++) {
        if (strncmp(environ[i], "LD_PRELOAD=", strlen("LD_PRELOAD=")) != 0) {
            copy[used++] = environ[i];
        }
    }
    return copy;
}

/* Starts the child with its output in a pipe. The loader's complaint about a library that is not
 * there is not for the user: absence is an answer here. Returns the read end, or -1. */
static int start_child(char *const *arguments, char *preload, pid_t *child)
{
    int ends[2];
    posix_spawn_file_actions_t actions;
    char **environment = make_environment(preload);
    if (environment == NULL || pipe(ends) != 0) {
        free(environment);
        return -1;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    if (preload != NULL) {
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    }
    const int error = posix_spawn(child, arguments[0], &actions, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    free(environment);
    close(ends[1]);
    if (error != 0) {
        close(ends[0]);
        return -1;
    }
    return ends[0];
}

static void read_metrics(int descriptor, metric_fn take, void *context)
{
    char name[64];
    double value = 0.0;
    FILE *stream = fdopen(descriptor, "r");
    if (stream == NULL) {
        close(descriptor);
        return;
    }
    while (fscanf(stream, "%63s %lf", name, &value) == 2) {
        take(name, value, context);
    }
    fclose(stream);
}

static int await_child(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool measure_contestant(const char *program, const workload_t *workload, contestant_id_t id,
                        size_t shrink, metric_fn take, void *context)
{
    const contestant_t *contestant = contestant_at(id);
    char number[24];
    char divisor[24];
    char preload[128];
    snprintf(number, sizeof(number), "%d", (int)id);
    snprintf(divisor, sizeof(divisor), "%zu", shrink);
    snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", contestant->preload);
    char *arguments[] = {(char *)(uintptr_t)program,
                         (char *)(uintptr_t) "--child",
                         (char *)(uintptr_t)workload->name,
                         number,
                         divisor,
                         NULL};
    pid_t child = 0;
    const int output =
        start_child(arguments, contestant->preload[0] != '\0' ? preload : NULL, &child);
    if (output < 0) {
        fprintf(stderr, "bench_memory: cannot start %s: %s\n", program, strerror(errno));
        exit(1);
    }
    read_metrics(output, take, context);
    const int code = await_child(child);
    if (code == CHILD_ABSENT) {
        return false;
    }
    if (code != 0) {
        fprintf(stderr, "bench_memory: %s with %s ended with code %d\n", workload->name,
                contestant->label, code);
        exit(1);
    }
    return true;
}
