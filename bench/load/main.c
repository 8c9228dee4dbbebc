/* SPDX-License-Identifier: MIT */
/* kvload's command line and its one line of output: tab-separated, columns as --header names them.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <concordkv/kv_version.h>

#include "load.h"

enum { EXIT_MISSES = 3 };

enum long_option {
    OPTION_PROTOCOL = 256,
    OPTION_PID,
    OPTION_NO_MISSES,
    OPTION_RATIO,
    OPTION_SPIN,
    OPTION_LABEL,
    OPTION_SEED,
    OPTION_DEL_PERCENT,
    OPTION_HEADER,
    OPTION_HELP,
    OPTION_VERSION
};

static const struct option long_options[] = {
    {"host", required_argument, NULL, 'h'},
    {"port", required_argument, NULL, 'p'},
    {"socket", required_argument, NULL, 's'},
    {"connections", required_argument, NULL, 'c'},
    {"pipeline", required_argument, NULL, 'P'},
    {"value-bytes", required_argument, NULL, 'd'},
    {"keys", required_argument, NULL, 'k'},
    {"mode", required_argument, NULL, 'm'},
    {"seconds", required_argument, NULL, 't'},
    {"warm-up", required_argument, NULL, 'w'},
    {"requests", required_argument, NULL, 'n'},
    {"proto", required_argument, NULL, OPTION_PROTOCOL},
    {"pid", required_argument, NULL, OPTION_PID},
    {"nomiss", no_argument, NULL, OPTION_NO_MISSES},
    {"ratio", required_argument, NULL, OPTION_RATIO},
    {"spin", no_argument, NULL, OPTION_SPIN},
    {"label", required_argument, NULL, OPTION_LABEL},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"delpct", required_argument, NULL, OPTION_DEL_PERCENT},
    {"header", no_argument, NULL, OPTION_HEADER},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    printf(
        "Usage: kvload [OPTION]...\n"
        "Loads a key-value server, checks every reply and prints one line of figures.\n\n"
        "  -h, --host=ADDRESS      IPv4 address; default 127.0.0.1\n"
        "  -p, --port=NUMBER       default 6379\n"
        "  -s, --socket=PATH       a Unix socket instead\n"
        "      --proto=NAME        resp (default), mc (memcached's text), mcm (its meta commands)\n"
        "  -m, --mode=NAME         get (default), set, mix, load (every key once), del (random "
        "--delpct)\n"
        "  -c, --connections=N     default 50\n"
        "  -P, --pipeline=N        requests in flight on each; default 16\n"
        "  -d, --value-bytes=N     12 to 65536; default 64\n"
        "  -k, --keys=N            default 1000000\n"
        "  -t, --seconds=N         of the measured window; default 1\n"
        "  -w, --warm-up=N         seconds before it; default 0.2\n"
        "  -n, --requests=N        end the window after so many\n"
        "      --ratio=PERCENT     of GETs in a mix; default 80\n"
        "      --delpct=PERCENT    of keys that del deletes; default 90\n"
        "      --pid=NUMBER        the server's process, for its processor time\n"
        "      --nomiss            exit with code 3 if a key was not there\n"
        "      --spin              poll instead of sleeping\n"
        "      --seed=NUMBER       of the random keys; default 1\n"
        "      --label=TEXT        first column of the line\n"
        "      --header            print the names of the columns\n"
        "      --help, --version\n\n"
        "Exit code 2: a wrong reply or a lost connection.\n");
}

static void print_columns(void)
{
    printf("label\tproto\tmode\tconns\tP\td\tkeys\treqs\tsecs\trps\tp50us\tp99us\tp999us\tmiss\tsrv"
           "_ns\t"
           "srv_stat_ns\tsrv_user_ns\tsrv_sys_ns\tsrv_util\tcli_util\tmaxus\n");
}

static void print_figures(const load_t *load, const load_figures_t *figures)
{
    const load_options_t *options = &load->options;
    const double replies = figures->replies > 0 ? (double)figures->replies : 1.0;
    const process_time_t *server = &figures->server;
    printf("%s\t%s\t%s\t%zu\t%zu\t%zu\t%llu\t%llu\t%.3f\t%.0f\t", options->label,
           protocol_name(&load->protocol), options->mode_name, options->connections,
           options->pipeline, options->value_bytes, (unsigned long long)options->keys,
           (unsigned long long)figures->replies, figures->seconds, replies / figures->seconds);
    printf("%.1f\t%.1f\t%.1f\t%llu\t", histogram_share_us(&load->latencies, 0.5),
           histogram_share_us(&load->latencies, 0.99), histogram_share_us(&load->latencies, 0.999),
           (unsigned long long)figures->misses);
    printf("%.1f\t%.1f\t%.1f\t%.1f\t%.3f\t%.3f\t%.1f\n", (double)server->scheduled / replies,
           (double)(server->user + server->system) / replies, (double)server->user / replies,
           (double)server->system / replies, (double)server->scheduled / 1e9 / figures->seconds,
           (double)figures->own_ns / 1e9 / figures->seconds,
           (double)load->latencies.max_ns / 1000.0);
    fflush(stdout);
}

/* ---- options ---- */

__attribute__((noreturn)) static void refuse(const char *what, const char *text)
{
    fprintf(stderr, "kvload: %s, not \"%s\"\n", what, text);
    exit(1);
}

static uint64_t parse_number(const char *what, const char *text, uint64_t min, uint64_t max)
{
    char *end = NULL;
    const unsigned long long number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || number < min || number > max) {
        refuse(what, text);
    }
    return number;
}

static double parse_real(const char *what, const char *text, double max)
{
    char *end = NULL;
    const double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= 0.0) || number > max) {
        refuse(what, text);
    }
    return number;
}

static load_mode_t parse_mode(const char *text)
{
    static const char *const names[] = {"get", "set", "mix", "load", "del"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], text) == 0) {
            return (load_mode_t)i;
        }
    }
    refuse("the mode is get, set, mix, load or del", text);
}

/* Options with a short name. False: not one of these. */
static bool take_short(load_options_t *options, int option, const char *text)
{
    switch (option) {
    case 'h':
        options->host = text;
        return true;
    case 'p':
        options->port = (int)parse_number("a port is 1 to 65535", text, 1, 65535);
        return true;
    case 's':
        options->path = text;
        return true;
    case 'c':
        options->connections = parse_number("1 to 10000 connections", text, 1, 10000);
        return true;
    case 'P':
        options->pipeline = parse_number("a pipeline of 1 to 10000", text, 1, 10000);
        return true;
    case 'd':
        options->value_bytes =
            parse_number("values of 12 to 65536 bytes", text, VALUE_BYTES_MIN, VALUE_BYTES_MAX);
        return true;
    case 'k':
        options->keys = parse_number("1 to 999999999999 keys", text, 1, UINT64_C(999999999999));
        return true;
    case 'm':
        options->mode = parse_mode(text);
        options->mode_name = text;
        return true;
    case 't':
        options->seconds = parse_real("seconds", text, 1e6);
        return true;
    case 'w':
        options->warm_up_seconds = parse_real("seconds", text, 1e6);
        return true;
    case 'n':
        options->requests = parse_number("a number of requests", text, 1, UINT64_MAX);
        return true;
    default:
        return false;
    }
}

static void take_long(load_options_t *options, int option, const char *text)
{
    switch (option) {
    case OPTION_PROTOCOL:
        options->protocol = text;
        break;
    case OPTION_PID:
        options->server_pid = (int)parse_number("a process number", text, 1, INT32_MAX);
        break;
    case OPTION_NO_MISSES:
        options->no_misses = true;
        break;
    case OPTION_RATIO:
        options->get_percent = (unsigned)parse_number("a percentage", text, 0, 100);
        break;
    case OPTION_SPIN:
        options->spin = true;
        break;
    case OPTION_LABEL:
        options->label = text;
        break;
    case OPTION_SEED:
        options->seed = parse_number("a number", text, 0, UINT64_MAX - 1);
        break;
    case OPTION_DEL_PERCENT:
        options->del_percent = parse_real("a percentage", text, 100.0);
        break;
    case OPTION_HEADER:
        print_columns();
        exit(0);
    case OPTION_HELP:
        print_help();
        exit(0);
    case OPTION_VERSION:
        printf("kvload %s\n", KV_VERSION_STRING);
        exit(0);
    default:
        exit(1); /* getopt has said what is wrong */
    }
}

static load_options_t parse_options(int argc, char **argv)
{
    load_options_t options = {.host = "127.0.0.1",
                              .port = 6379,
                              .protocol = "resp",
                              .mode_name = "get",
                              .label = "",
                              .connections = 50,
                              .pipeline = 16,
                              .value_bytes = 64,
                              .keys = 1000000,
                              .seconds = 1.0,
                              .warm_up_seconds = 0.2,
                              .del_percent = 90.0,
                              .get_percent = 80,
                              .seed = 1};
    int option = 0;
    while ((option = getopt_long(argc, argv, "h:p:s:c:P:d:k:m:t:w:n:", long_options, NULL)) != -1) {
        if (!take_short(&options, option, optarg)) {
            take_long(&options, option, optarg);
        }
    }
    if (optind < argc) {
        refuse("no further arguments", argv[optind]);
    }
    return options;
}

int main(int argc, char **argv)
{
    static load_t load;
    const load_options_t options = parse_options(argc, argv);
    load_open(&load, &options);
    const load_figures_t figures = load_run(&load);
    print_figures(&load, &figures);
    load_close(&load);
    if (options.no_misses && load.misses > 0) {
        fprintf(stderr, "kvload: %llu misses\n", (unsigned long long)load.misses);
        return EXIT_MISSES;
    }
    return 0;
}
