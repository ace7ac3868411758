package cli

import "sync"

// crew runs functions side by side, a bounded number at a time. Go blocks while
// all places are taken; Wait returns the first error. Go and Wait are called by
// one goroutine.
type crew struct {
	places chan struct{}
	group  sync.WaitGroup

	mutex sync.Mutex
	err   error
}

func newCrew(places int) *crew { return &crew{places: make(chan struct{}, max(places, 1))} }

// Go runs a function when there is a place.
func (c *crew) Go(do func() error) {
	c.places <- struct{}{}
	c.group.Go(func() {
		defer func() { <-c.places }()
		if err := do(); err != nil {
			c.mutex.Lock()
			defer c.mutex.Unlock()
			if c.err == nil {
				c.err = err
			}
		}
	})
}

// failed returns the first error so far.
func (c *crew) failed() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.err
}

// Wait waits for all and returns the first error.
func (c *crew) Wait() error {
	c.group.Wait()
	return c.failed()
}
