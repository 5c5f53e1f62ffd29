#include "taskwired/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"

static void print_help(void)
{
    STRBUF_CLEANUP struct strbuf settings = STRBUF_INIT;

    config_help(&settings);
    printf("Usage: taskwired [--config FILE] [--check-config]\n"
           "       taskwired --dev\n"
           "Takes tasks over HTTP, sends them through Kafka, runs them in plugins, answers.\n\n"
           "  --config FILE    configuration [" TW_CONFIG_FILE "]; topics.d lies beside it\n"
           "  --check-config   say everything that is wrong with it, and exit\n"
           "  --dev            embedded broker, sample plugins and topics, nothing is kept\n"
           "  --version        print the version\n"
           "  --help           print this\n\n"
           "Settings [default]:\n%s",
           settings.data);
}

int options_parse(int argc, char **argv, struct options *ret)
{
    static const struct option table[] = {
        {"config", required_argument, NULL, 'c'}, {"check-config", no_argument, NULL, 'k'},
        {"dev", no_argument, NULL, 'd'},          {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    int c;

    *ret = (struct options){.config = NULL};
    while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
        switch (c) {
        case 'c':
            ret->config = optarg;
            break;
        case 'k':
            ret->check = true;
            break;
        case 'd':
            ret->dev = true;
            break;
        case 'v':
            puts("taskwired " TW_VERSION);
            return 0;
        case 'h':
            print_help();
            return 0;
        default:
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "taskwired: unexpected argument \"%s\"; see --help\n", argv[optind]);
        return 2;
    }
    return -1;
}
