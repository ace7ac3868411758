package together

import (
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// unfencedVariable, where it is set, makes the program of these tests a node whose fences
// are off.
const unfencedVariable = "TROUPE_TEST_UNFENCED"

// unfenced takes every refusal, and every silence, of another node for its consent: what
// it reads is confirmed, and what it writes is stored. While all reach each other it is a
// node like any other.
type unfenced struct{ gateway.Peers }

// Store implements gateway.Peers.
func (u unfenced) Store(c gateway.Charge, bucket *objects.BucketDoc, name string, record *objects.Meta, payload *gateway.Arrival) (messages.Stored, error) {
	stored, err := u.Peers.Store(c, bucket, name, record, payload)
	if err != nil {
		return messages.Stored{Has: true}, nil
	}
	return stored, nil
}

// Confirm implements gateway.Peers.
func (u unfenced) Confirm(set *messages.NodeSet, node *messages.NodeView, keys []gateway.Confirmation) ([]int, error) {
	if _, err := u.Peers.Confirm(set, node, keys); err != nil {
		return nil, nil
	}
	return nil, nil
}

// serveUnfenced is `troupe serve` of such a node, as far as package process has it. After
// SIGUSR1 it notices nothing any more of what becomes of others, or of itself, and its clock
// stands: a node that knows that it reaches nobody needs no fence.
func serveUnfenced(args []string) error {
	config := supervisors.Config{
		RootAccessKey: os.Getenv("TROUPE_ROOT_ACCESS_KEY"), RootSecretKey: os.Getenv("TROUPE_ROOT_SECRET_KEY"),
	}
	config.Cluster.Peers = func(p gateway.Peers) gateway.Peers { return unfenced{p} }
	var stands atomic.Bool
	var now atomic.Int64
	begun := time.Now()
	config.Cluster.Awake = func() time.Duration {
		if !stands.Load() {
			now.Store(int64(time.Since(begun)))
		}
		return time.Duration(now.Load())
	}
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.StringArrayVar(&config.Data, "data", nil, "")
	for name, field := range map[string]*string{
		"native": &config.Native, "s3": &config.S3, "intra": &config.Intra, "native-auth": &config.NativeAuth,
		"consul": &config.Cluster.Consul, "cluster": &config.Cluster.Name, "cluster-secret-file": &config.Cluster.SecretFile,
	} {
		flags.StringVar(field, name, "", "")
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	desk := faults.New(faults.Options{})
	config.Faults = desk
	node, err := supervisors.Start(config)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1)
	for <-signals == syscall.SIGUSR1 {
		stands.Store(true)
		_, err := desk.Inject(faults.Fault{
			Messages: &faults.Messages{Actor: "node/" + member.Name, Message: "member.tick", Do: faults.Drop}, Expiry: time.Hour,
		})
		if err != nil {
			return err
		}
	}
	return node.Stop()
}
