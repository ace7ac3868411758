package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/objects/errs"
)

// What a terminal is told (ECMA-48, and the private modes that xterm began): a
// screen of its own for the tree, so that what was there comes back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	restOfLine  = "\x1b[K"
	restBelow   = "\x1b[J"
)

// watchActors draws the tree on the terminal, again and again, until the context
// ends. A node that does not answer is shown as such, and asked again: it may be
// restarting because of what is done in the next window.
func (s *Session) watchActors(ctx context.Context, view actorsView, every time.Duration) error {
	s.options.patience = 0 // a request that is repeated in silence would show nothing
	control, err := s.Control()
	if err != nil {
		return err
	}
	list, err := control.Actors(ctx, view.pattern)
	if err != nil {
		return err
	}
	out := s.Program.Out
	if _, err := io.WriteString(out, enterScreen); err != nil {
		return errs.E("actors", "standard output", errs.IO, err)
	}
	err = view.live(ctx, out, control, list, every)
	if _, writeErr := io.WriteString(out, leaveScreen); err == nil && writeErr != nil {
		err = errs.E("actors", "standard output", errs.IO, writeErr)
	}
	return err
}

func (v *actorsView) live(ctx context.Context, out io.Writer, control client.Control, list []api.Actor, every time.Duration) error {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	defer signal.Stop(resized)
	next := time.NewTicker(every)
	defer next.Stop()
	var trouble error
	for {
		if _, err := io.WriteString(out, v.picture(list, trouble, time.Now(), terminalSize(out))); err != nil {
			return errs.E("actors", "standard output", errs.IO, err)
		}
		select {
		case <-ctx.Done():
			return nil // that is how one leaves
		case <-resized:
			continue
		case <-next.C:
		}
		asked, cancel := context.WithTimeout(ctx, max(every, time.Second))
		now, err := control.Actors(asked, v.pattern)
		cancel()
		if trouble = err; err == nil {
			list = now
		}
	}
}

// picture is what is written to draw the tree over the last one.
func (v *actorsView) picture(list []api.Actor, trouble error, now time.Time, size screen) string {
	size.height = max(0, size.height-1) // the last line stays empty: a full one would scroll
	lines := v.draw(list, now, size)
	if trouble != nil {
		width := size.width
		if width == 0 {
			width = unknownWidth
		}
		lines[0] = v.paint(red, cut(fmt.Sprintf("%s  no answer: %s", now.Format(time.TimeOnly), printable(trouble.Error())), width))
	}
	return home + strings.Join(lines, restOfLine+"\r\n") + restOfLine + restBelow
}
