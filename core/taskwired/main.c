/* The daemon: options, configuration, one pod, signals. */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "taskwired/options.h"
#include "taskwired/pod.h"

enum { EXIT_CONFIG = 1, EXIT_USAGE = 2 };

/* librdkafka's threads would each get an arena of their own, and keep it. */
static void bound_memory(void)
{
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

/* `--dev` finds plugins and topics relative to the program: <prefix>/bin/taskwired. */
static bool beside_program(char out[static PATH_MAX], const char *what)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    char *slash;

    for (int i = 0; i < 2 && n > 0; i++) {
        path[n] = '\0';
        slash = strrchr(path, '/');
        n = slash == NULL ? 0 : slash - path;
    }
    return n > 0 && (size_t)snprintf(out, PATH_MAX, "%.*s/%s", (int)n, path, what) < PATH_MAX;
}

static void set_hostname(struct config *config)
{
    char name[256] = "localhost";

    if (config->hostname[0] != '\0')
        return;
    gethostname(name, sizeof(name) - 1);
    free(config->hostname);
    config->hostname = strdup(name);
}

static struct config *load(const struct options *options, struct config_report *report)
{
    char dev_file[PATH_MAX];
    const char *file = options->config;
    struct config *config = NULL;

    if (file == NULL && options->dev && beside_program(dev_file, "etc/taskwire/taskwire.yaml"))
        file = dev_file;
    if (file == NULL)
        file = TW_CONFIG_FILE;
    if (config_load(file, getenv, &config, report) < 0)
        return NULL;
    set_hostname(config);
    return config;
}

static void fatal(void *ctx)
{
    (void)ctx;
    kill(getpid(), SIGUSR1); /* blocked everywhere: main takes it from sigwait */
}

/* http/express.c lets it through where it waits. */
static void block_urgent(void)
{
    sigset_t urgent;

    sigemptyset(&urgent);
    sigaddset(&urgent, SIGURG);
    pthread_sigmask(SIG_BLOCK, &urgent, NULL);
}

static int wait_for_end(const sigset_t *signals)
{
    int signal = 0;

    while (signal == 0 || signal == SIGHUP) {
        if (sigwait(signals, &signal) != 0)
            signal = 0;
        else if (signal == SIGHUP)
            log_warn("taskwired", "a running pod does not read its configuration again yet: restart");
    }
    log_info("taskwired", "stopping");
    return signal == SIGUSR1 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run(struct pod *pod, const struct config *config, const sigset_t *signals)
{
    char *why = NULL;
    int status, r = pod_start(pod, &why);

    if (r < 0) {
        log_error("taskwired", "cannot start: %s", why != NULL ? why : strerror(-r));
        free(why);
        pod_stop(pod);
        return EXIT_FAILURE;
    }
    if (pod_broker(pod) != NULL)
        log_info("taskwired", "embedded broker on %s: nothing survives it", pod_broker(pod));
    log_info("taskwired", "listening on %s:%d", config->http_listen, pod_port(pod));
    status = wait_for_end(signals);
    if (!pod_stop(pod))
        _exit(status); /* a handler hangs: its thread still uses all of this */
    return status;
}

int main(int argc, char **argv)
{
    struct config_report report = {0};
    char plugins[PATH_MAX];
    struct pod_setup setup = {.plugin_directory = TW_PLUGIN_DIR, .fatal = fatal};
    struct config *config;
    struct options options;
    struct pod *pod = NULL;
    sigset_t signals;
    int status = options_parse(argc, argv, &options);

    if (status >= 0)
        return status;
    bound_memory();
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    block_urgent();

    setup.dev = options.dev;
    if (beside_program(plugins, "lib/taskwire/plugins") && access(plugins, R_OK) == 0)
        setup.plugin_directory = plugins; /* a build tree, or a prefix of one's own */
    config = load(&options, &report);
    setup.config = config;
    if (config != NULL)
        pod_new(&setup, &report, &pod);
    if (report.text.len > 0)
        fputs(report.text.data, stderr);
    if (pod == NULL) {
        status = EXIT_CONFIG;
    } else if (options.check) {
        printf("configuration is valid%s\n",
               pod_shares(pod) ? "" : "; without Redis, results, ids and repeats are known to this "
                                      "pod only");
        status = EXIT_SUCCESS;
    } else {
        log_setup((enum log_level)config->log_level,
                  config->log_format == LOG_FORMAT_JSON ||
                      (config->log_format == LOG_FORMAT_AUTO && config->mode == MODE_PRODUCTION));
        status = run(pod, config, &signals);
    }
    pod_free(pod);
    config_free(config);
    config_report_done(&report);
    return status;
}
