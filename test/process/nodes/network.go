package nodes

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/test/process"
)

// Network is a network namespace for each node, on two links: one to a bridge, over which
// nodes reach each other and Consul, and one to the test alone, on which they listen for
// clients. The first can be cut; clients go on to reach a node that nobody else reaches.
//
//	Consul ── bridge ─┬─ c0 [node 0] k0 ── test
//	                  ├─ c0 [node 1] k0 ── test
//	                  └─ c0 [node 2] k0 ── test
//
// Names and addresses come from the id of the test's process and the test's name, so that
// suites beside each other do not meet, nor tests: 198.18.X.0/24 are the nodes, 198.19.X.0/24 what clients see (both of
// RFC 2544, for tests). Its methods are called by one goroutine at a time.
type Network struct {
	suffix string // of names of links: at most 15 bytes in all
	third  int    // byte of the addresses
	count  int
	made   []string // namespaces
}

// ports of the listeners: a namespace has all of them to itself.
const (
	s3Port     = "9000"
	nativePort = "8080"
	intraPort  = "8082"
)

// NetworkForTest makes the networks of so many nodes, taken away at the end of the test.
// Where that needs more than there is (root, the program ip, bridges and namespaces), the
// test is skipped.
func NetworkForTest(t testing.TB, count int) *Network {
	t.Helper()
	if os.Getuid() != 0 {
		process.Missing(t, "cutting links between nodes needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		process.Missing(t, "cutting links between nodes needs ip: %v (apt-get install iproute2)", err)
	}
	name := fnv.New32a()
	_, _ = name.Write([]byte(t.Name())) // it does not fail
	w := &Network{suffix: fmt.Sprintf("%d%02x", os.Getpid(), name.Sum32()%256), third: (os.Getpid() + int(name.Sum32()>>8)) % 256, count: count}
	t.Cleanup(func() {
		if err := w.remove(); err != nil {
			t.Error(err)
		}
	})
	if err := w.make(); err != nil {
		process.Missing(t, "there are no networks to cut: %v", err)
	}
	return w
}

// ip runs the program with arguments, separated by blanks.
func ip(format string, args ...any) error {
	line := strings.Fields(fmt.Sprintf(format, args...))
	if said, err := exec.Command("ip", line...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(line, " "), err, strings.TrimSpace(string(said)))
	}
	return nil
}

func (w *Network) bridge() string           { return "tb" + w.suffix }
func (w *Network) namespace(n int) string   { return fmt.Sprintf("troupe%sn%d", w.suffix, n) }
func (w *Network) link(n int) string        { return fmt.Sprintf("tc%sn%d", w.suffix, n) }
func (w *Network) clientLink(n int) string  { return fmt.Sprintf("tk%sn%d", w.suffix, n) }
func (w *Network) at(n int) string          { return fmt.Sprintf("198.18.%d.%d", w.third, 10+n) }
func (w *Network) clientSide(n int) string  { return fmt.Sprintf("198.19.%d.%d", w.third, 4*n+1) }
func (w *Network) clientPlace(n int) string { return fmt.Sprintf("198.19.%d.%d", w.third, 4*n+2) }

// Consul is the address at which nodes reach Consul.
func (w *Network) Consul() string { return fmt.Sprintf("198.18.%d.1", w.third) }

// place puts a node to be started into its namespace.
func (w *Network) place(n int, config *process.Config) {
	config.Under = []string{"ip", "netns", "exec", w.namespace(n)}
	config.S3 = net.JoinHostPort(w.clientPlace(n), s3Port)
	config.Native = net.JoinHostPort(w.clientPlace(n), nativePort)
	config.Intra = net.JoinHostPort(w.at(n), intraPort)
}

func (w *Network) make() error {
	steps := []string{
		fmt.Sprintf("link add %s type bridge", w.bridge()),
		fmt.Sprintf("addr add %s/24 dev %s", w.Consul(), w.bridge()),
		fmt.Sprintf("link set %s up", w.bridge()),
	}
	for n := range w.count {
		space := w.namespace(n)
		steps = append(steps,
			"netns add "+space,
			fmt.Sprintf("-n %s link set lo up", space),
			fmt.Sprintf("link add %s type veth peer name c0 netns %s", w.link(n), space),
			fmt.Sprintf("link set %s master %s", w.link(n), w.bridge()),
			fmt.Sprintf("link set %s up", w.link(n)),
			fmt.Sprintf("-n %s addr add %s/24 dev c0", space, w.at(n)),
			fmt.Sprintf("-n %s link set c0 up", space),
			fmt.Sprintf("link add %s type veth peer name k0 netns %s", w.clientLink(n), space),
			fmt.Sprintf("addr add %s/30 dev %s", w.clientSide(n), w.clientLink(n)),
			fmt.Sprintf("link set %s up", w.clientLink(n)),
			fmt.Sprintf("-n %s addr add %s/30 dev k0", space, w.clientPlace(n)),
			fmt.Sprintf("-n %s link set k0 up", space),
		)
	}
	for _, step := range steps {
		if err := ip("%s", step); err != nil {
			return err
		}
		if space, ok := strings.CutPrefix(step, "netns add "); ok {
			w.made = append(w.made, space)
		}
	}
	return nil
}

// remove takes away what was made; links go with their namespaces.
func (w *Network) remove() error {
	var failures []error
	for _, space := range w.made {
		failures = append(failures, ip("netns del %s", space))
	}
	if _, err := net.InterfaceByName(w.bridge()); err == nil {
		failures = append(failures, ip("link del %s", w.bridge()))
	}
	w.made = nil
	return errors.Join(failures...)
}

// CutOff takes a node's link to the others and to Consul away: what is sent gets lost, and
// nobody is told.
func (w *Network) CutOff(n int) error { return ip("link set %s down", w.link(n)) }

// Join gives it back.
func (w *Network) Join(n int) error { return ip("link set %s up", w.link(n)) }

// Cut cuts two nodes from each other, in both directions; others go on to reach both.
func (w *Network) Cut(a, b int) error { return errors.Join(w.CutWay(a, b), w.CutWay(b, a)) }

// Mend takes a cut back.
func (w *Network) Mend(a, b int) error { return errors.Join(w.MendWay(a, b), w.MendWay(b, a)) }

// CutWay loses what a node sends to another one, which goes on to reach it: what it asks
// arrives, and is never answered.
func (w *Network) CutWay(from, to int) error {
	return ip("-n %s route add blackhole %s/32", w.namespace(from), w.at(to))
}

// MendWay takes CutWay back.
func (w *Network) MendWay(from, to int) error {
	return ip("-n %s route del blackhole %s/32", w.namespace(from), w.at(to))
}

// CutConsul loses what a node sends to Consul.
func (w *Network) CutConsul(n int) error {
	return ip("-n %s route add blackhole %s/32", w.namespace(n), w.Consul())
}

// MendConsul takes CutConsul back.
func (w *Network) MendConsul(n int) error {
	return ip("-n %s route del blackhole %s/32", w.namespace(n), w.Consul())
}

// Reaches says whether a connection from the place of one node to the listener of another
// is made within a second: a test's look at whether a cut is one.
func (w *Network) Reaches(ctx context.Context, a, b int) bool {
	address := net.JoinHostPort(w.at(b), intraPort)
	dial := exec.CommandContext(ctx, "ip", "netns", "exec", w.namespace(a), "timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/"+strings.Replace(address, ":", "/", 1))
	return dial.Run() == nil
}
