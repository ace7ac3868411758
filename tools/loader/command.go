package loader

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// bareCommandName is the hidden subcommand that runs the bare handler.
const bareCommandName = "bench-baseline"

// settings are the flags of the command.
type settings struct {
	load    Load // what the flags below do not hold as text
	server  side
	against side // to compare with; not wanted: nobody
	security

	operations string
	sizes      string
	order      string
	bytes      string
	rangeBytes string
	partBytes  string
	stepsText  string
	steps      []int // numbers of connections; nil: those of the load

	create     bool
	durability string
	etag       string
	prepare    bool
	cleanup    bool
	warmup     time.Duration

	debtThreshold string
	debtPatience  time.Duration

	scratch  string
	baseline bool
	pairs    int

	suite    string
	rows     string
	segment  time.Duration
	putBytes string

	json string
	plot string
}

// Command returns `bench`, the load generator, to be added to a program's root
// command. The hidden subcommand with which it starts the bare handler is part of
// it, so that the program needs no further wiring.
func Command() *cobra.Command {
	var s settings
	command := &cobra.Command{
		Use:   "bench",
		Short: "Drive an S3 endpoint and measure what an operation costs the server",
		Long: `Drive an S3 endpoint over keep-alive connections with signed requests, and print
operations per second, latencies, and the CPU time that an operation costs the
server's process.

One operation or a mix, for a duration, a number of operations or of bytes:

  troupe bench --op put --size 4KiB --bytes 1GiB
  troupe bench --op put=30,get=60,delete=10 --size 4KiB:70,128KiB:30 --keys 100000 --duration 30s --verify

The reference table, against a server that is started for it in a directory of
its own ({data}, {native} and {s3} stand for paths and addresses that are free):

  troupe bench --suite reference --serve "bin/troupe serve --data {data} --native {native} --s3 {s3}"

How it behaves as the load grows, and beside another server, as a picture:

  troupe bench --op range --size 64MiB --keys 64 --steps 1,4,16,64 --plot steps.svg
  troupe bench --op get --rate 1000 --ramp-to 20000 --duration 60s --plot ramp.svg
  troupe bench --op put --against http://127.0.0.1:9100 --pairs 10 --plot two.svg

Ctrl-C stops and prints the figures so far; pressed again, it ends at once.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: false,
	}
	s.addFlags(command)
	command.RunE = func(command *cobra.Command, _ []string) (err error) {
		ctx, restore := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
		defer restore()
		go func() {
			<-ctx.Done()
			restore() // the second Ctrl-C is the system's
		}()
		executable, err := os.Executable()
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		bare := append([]string{executable}, append(strings.Fields(command.CommandPath())[1:], bareCommandName)...)
		return runSession(ctx, &s, bare, command.OutOrStdout(), command.ErrOrStderr())
	}
	command.AddCommand(bareCommand())
	return command
}

// bareCommand returns the hidden subcommand that serves the bare handler until
// its standard input ends.
func bareCommand() *cobra.Command {
	var directory string
	command := &cobra.Command{
		Use:    bareCommandName,
		Short:  "Serve the bare handler that figures are compared with",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if directory == "" {
				return errors.New("--directory is needed")
			}
			return ServeBare(directory, command.InOrStdin(), command.OutOrStdout())
		},
	}
	command.Flags().StringVar(&directory, "directory", "", "where files go")
	return command
}

// addFlags declares the flags with their defaults.
func (s *settings) addFlags(command *cobra.Command) {
	f := command.Flags()
	f.StringVar(&s.server.endpoint, "endpoint", environmentOr("TROUPE_ENDPOINT", "http://127.0.0.1:9000"), "S3 endpoint, http://host:port or https://host:port, with the authorities of the system or of SSL_CERT_FILE unless --ca or --insecure is given (TROUPE_ENDPOINT)")
	f.StringVar(&s.server.native, "native", "", "native listener, http://host:port: sets bucket properties, reports compaction debt")
	f.StringVar(&s.server.bucket, "bucket", "troupe-bench", "bucket to work in; with --suite, how the buckets' names begin")
	f.StringVar(&s.server.accessKey, "access-key", environmentOr("AWS_ACCESS_KEY_ID", ""), "access key (AWS_ACCESS_KEY_ID)")
	f.StringVar(&s.server.secretKey, "secret-key", "", "secret key; better given as AWS_SECRET_ACCESS_KEY, which nobody sees in a process list")
	f.StringVar(&s.load.Region, "region", environmentOr("AWS_REGION", defaultRegion), "region to sign for (AWS_REGION)")

	f.BoolVar(&s.insecure, "insecure", false, "take any certificate of an https:// endpoint")
	f.StringVar(&s.ca, "ca", "", "file with the authorities (PEM) that sign for https:// endpoints; default: the system's")

	f.StringVar(&s.operations, "op", "put", "operation, or a mix with weights: put=30,get=50,head=5,delete=3,list=2,range=5,multipart=5")
	f.StringVar(&s.sizes, "size", "4KiB", "object size, range (1KiB-1MiB), or several with weights (4KiB:70,1MiB:30)")
	f.IntVar(&s.load.Connections, "connections", defaultConnections, "connections, each with one request at a time")
	f.Uint64Var(&s.load.Keys.Count, "keys", 0, "how many keys; 0: for put alone without end, otherwise 10,000")
	f.StringVar(&s.order, "order", "", "sequential, uniform, zipf or zipf:EXPONENT; default sequential for put and delete alone, otherwise uniform")
	f.StringVar(&s.load.Keys.Prefix, "prefix", "", "prefix of every key")
	f.Uint64Var(&s.load.Keys.Seed, "seed", 1, "seed of names, sizes and contents")
	f.IntVar(&s.load.ListKeys, "list-keys", defaultListKeys, "keys a page of list")
	f.DurationVar(&s.load.Duration, "duration", 0, "how long; 10s if no other end is given")
	f.Uint64Var(&s.load.Ops, "ops", 0, "how many operations")
	f.StringVar(&s.bytes, "bytes", "0", "how many bytes of objects")
	f.Float64Var(&s.load.Rate, "rate", 0, "operations per second to begin; 0: as fast as answers come")
	f.Float64Var(&s.load.RampTo, "ramp-to", 0, "let the rate grow or fall evenly from --rate to this until the end")
	f.StringVar(&s.stepsText, "steps", "", "instead of --connections, several numbers of them, one run each: 1,4,16,64")
	f.StringVar(&s.rangeBytes, "range-bytes", "128KiB", "of range, length of the slice that is read at a random place")
	f.StringVar(&s.partBytes, "part-bytes", "8MiB", "of multipart, length of a part, from 5MiB")
	f.BoolVar(&s.load.Verify, "verify", false, "compare what get and range return with what was put")
	f.DurationVar(&s.load.Stall, "stall", defaultStall, "when a connection without progress has failed")
	f.Uint64Var(&s.load.MaxFailures, "max-failures", defaultMaxFailures, "failed operations until the run gives up")

	f.BoolVar(&s.create, "create", true, "create the bucket if it does not exist")
	f.StringVar(&s.durability, "durability", "", "set the bucket's durability: synced or relaxed (needs --native)")
	f.StringVar(&s.etag, "etag", "", "set the bucket's kind of ETags: md5 or fast (needs --native)")
	f.BoolVar(&s.prepare, "prepare", true, "put the keys before a load that reads or deletes them")
	f.BoolVar(&s.cleanup, "cleanup", false, "delete the objects afterwards, and the bucket if it was created")
	f.DurationVar(&s.warmup, "warmup", 0, "run a load of reads for this long before it counts")

	f.IntVar(&s.server.pid, "pid", 0, "process of the server; default: who listens at the endpoint, on this machine")
	f.StringVar(&s.server.metrics, "metrics", "", "URL of the server's metrics, for its compaction debt; default: /metrics at --native")
	f.StringVar(&s.debtThreshold, "debt-threshold", "16MiB", "compaction debt that counts as paid")
	f.DurationVar(&s.debtPatience, "debt-patience", 5*time.Minute, "how long to wait for it")

	f.StringVar(&s.server.serve, "serve", "", "command line of a server to start, measure and stop; {data}, {native}, {s3} are filled in")
	f.StringVar(&s.scratch, "scratch", os.TempDir(), "where the directories of started servers and the bare handler are made")
	f.BoolVar(&s.baseline, "baseline", false, "drive the bare handler too, with the same load in the same run")
	f.IntVar(&s.pairs, "pairs", unsetPairs, "how often all that are driven take turns; default 1, with --against 4; 10 for differences below 5%")

	f.StringVar(&s.server.name, "name", "server", "what the server is called in tables and plots")
	f.StringVar(&s.against.endpoint, "against", "", "S3 endpoint of another server, driven in turns with the first, to compare them")
	f.StringVar(&s.against.name, "against-name", "other", "what the other server is called")
	f.StringVar(&s.against.serve, "against-serve", "", "command line of the other server, as --serve")
	f.StringVar(&s.against.native, "against-native", "", "its native listener, if it is one of Troupe's")
	f.IntVar(&s.against.pid, "against-pid", 0, "its process; default: who listens at the endpoint, on this machine")
	f.StringVar(&s.against.bucket, "against-bucket", "", "bucket to work in there; default: --bucket")
	f.StringVar(&s.against.accessKey, "against-access-key", environmentOr("TROUPE_AGAINST_ACCESS_KEY", ""), "access key there; default: --access-key (TROUPE_AGAINST_ACCESS_KEY)")
	f.StringVar(&s.against.secretKey, "against-secret-key", "", "secret key there; better given as TROUPE_AGAINST_SECRET_KEY")

	f.StringVar(&s.suite, "suite", "", `"reference": the table of figures to reach`)
	f.StringVar(&s.rows, "rows", "", `with --suite, only the rows that match ("PUT 4KiB synced", "^GET", "relaxed$")`)
	f.DurationVar(&s.segment, "segment", 5*time.Second, "with --suite, length of a measurement of reads, of deletes and of the bare handler")
	f.StringVar(&s.putBytes, "put-bytes", "1GiB", "with --suite, how much a PUT row writes; figures count from 1GiB")
	f.StringVar(&s.json, "json", "", "file to write all figures and the environment to")
	f.StringVar(&s.plot, "plot", "", "SVG file to draw the runs in")
}

// environmentOr returns an environment variable, or something else if it is not set.
func environmentOr(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
