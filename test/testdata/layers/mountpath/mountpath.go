// Package mountpath reaches into the other rooms and past its disk.
package mountpath

import (
	"os"
	"syscall"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/cluster"      // want "import"
	"github.com/troupe-storage/troupe/httpedge/s3"  // want "import"
	"github.com/troupe-storage/troupe/supervisors"  // want "import"
	"github.com/troupe-storage/troupe/test/process" // want "import"

	sneaky "os"
)

type lane struct{}

// Receive makes lane an actor.
func (l *lane) Receive(ctx actor.Context) {}

func (l *lane) onOpen(ctx actor.Context) {
	ctx.RequestFuture(nil, nil, 0).Result() // want "future"
	ctx.RequestFuture(nil, nil, 0).Wait()   // want "future"
	_ = os.IsNotExist(nil)
	_ = syscall.Errno(5)
	_ = syscall.Unlink("x")     // want "disk"
	_, _ = os.Open("x")         // want "disk"
	_, _ = sneaky.ReadFile("x") // want "disk"
}

type plain struct{}

func (plain) wait(ctx actor.Context) { ctx.RequestFuture(nil, nil, 0).Wait() }

func init() {} // want "init"

type initial struct{}

func (initial) init() {}
