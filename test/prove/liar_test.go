package prove

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
	"github.com/troupe-storage/troupe/test/process"
)

// lieVariable holds, as JSON, the fault of disks that the lying node has: a faults.Disk.
// No node of the product can be told to lie.
const lieVariable = "PROVE_TEST_LIE"

// TestMain is the lying node, where it is started as one, and else runs the tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		if err := lie(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	process.Main(m)
}

// lie is a node on disks that do not do what they say, with the command line of `troupe
// serve` as a proof writes it.
func lie(arguments []string) (err error) {
	var config supervisors.Config
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.StringSliceVar(&config.Data, "data", nil, "")
	flags.StringVar(&config.S3, "s3", "", "")
	flags.StringVar(&config.Native, "native", "", "")
	flags.StringVar(&config.Trial.Journal, "trial-journal", "", "")
	flags.StringVar(&config.Trial.Boot, "trial-boot", "", "")
	for _, as := range []string{"memory", "min-part", "inline", "reserve", "log-level"} {
		flags.String(as, "", "")
	}
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	config.MemoryBytes, config.MinPartBytes, config.Reserve.Bytes = 128<<20, 1, 16<<20
	config.RootAccessKey, config.RootSecretKey = os.Getenv("TROUPE_ROOT_ACCESS_KEY"), os.Getenv("TROUPE_ROOT_SECRET_KEY")
	var fault faults.Disk
	if err := json.Unmarshal([]byte(os.Getenv(lieVariable)), &fault); err != nil {
		return err
	}
	config.Faults = faults.New(faults.Options{})
	if _, err := config.Faults.Inject(faults.Fault{Disk: &fault, Expiry: time.Hour}); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	node, err := supervisors.Start(config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Stop()) }()
	fmt.Printf("S3 http://%s\nNative http://%s\n", node.S3(), node.Native())
	<-signals
	return nil
}
