package disks_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/s3client"
)

// clientsOfDisk is how many clients use each disk.
const clientsOfDisk = 2

// tally is what the clients of some disks met. Safe for concurrent use.
type tally struct {
	mu      sync.Mutex
	part    string                     // of the trial
	took    map[string][]time.Duration // by part
	served  map[string]int             // likewise
	refused map[string]int             // likewise
}

func newTally() *tally {
	return &tally{took: make(map[string][]time.Duration), served: make(map[string]int), refused: make(map[string]int)}
}

func (t *tally) enter(part string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.part = part
}

// forget drops what was noted of a part.
func (t *tally) forget(part string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.took, part)
	delete(t.served, part)
	delete(t.refused, part)
}

func (t *tally) add(took time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !ok {
		t.refused[t.part]++
		return
	}
	t.served[t.part]++
	t.took[t.part] = append(t.took[t.part], took)
}

func (t *tally) of(part string) (took []time.Duration, served, refused int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]time.Duration(nil), t.took[part]...), t.served[part], t.refused[part]
}

// client writes and reads keys of one disk, one request at a time; nobody else writes
// them.
type client struct {
	t      *testing.T
	s3     *s3client.Client
	random *rand.Rand
	keys   []*ledger
	tally  *tally
	sick   bool // its disk may refuse
}

func nameOf(key int) string { return "k" + strconv.Itoa(key) }

// run goes on until the context is over.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		l := c.keys[c.random.IntN(len(c.keys))]
		began := time.Now()
		ok, err := c.request(l, c.random.IntN(2) == 0)
		c.tally.add(time.Since(began), ok)
		if err != nil {
			c.t.Error(err)
			return
		}
		if !ok {
			select {
			case <-ctx.Done():
			case <-time.After(refusedPause):
			}
		}
	}
}

// refusedPause is how long a client waits that was refused, as real ones do: those of
// the sick disk are not to take the machine from the others.
const refusedPause = 50 * time.Millisecond

// requestTime bounds a request: the node answers within its own deadlines.
const requestTime = 90 * time.Second

// request writes or reads a key; ok says that it was served. The error says that the
// answer is one that must not be.
func (c *client) request(l *ledger, write bool) (ok bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	var answer *s3client.Answer
	if write {
		version := l.next()
		answer, err = c.s3.Put(ctx, bucket, nameOf(l.key), bodyOf(l.key, version))
		if err == nil && answer.OK() {
			l.acknowledged(version)
			return true, nil
		}
	} else {
		answer, err = c.s3.Get(ctx, bucket, nameOf(l.key))
		if err == nil && (answer.Status == 200 || answer.Status == 404) {
			return true, l.judge(answer)
		}
	}
	switch {
	case !c.sick && err == nil:
		return false, fmt.Errorf("k%d on another disk: %w", l.key, answer.Err())
	case !c.sick:
		return false, fmt.Errorf("k%d on another disk: %w", l.key, err)
	case ctx.Err() != nil:
		return false, fmt.Errorf("k%d was not answered within %s", l.key, requestTime)
	case err == nil && answer.Status != 503 && answer.Status != 507 && answer.Status != 500:
		return false, fmt.Errorf("k%d on the sick disk: %w", l.key, answer.Err())
	}
	return false, nil // refused, or an answer that broke off
}
