package actors

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"
)

// bridge makes protoactor's slog write to our logrus. Its life-cycle chatter at
// Info is Debug for us.
func bridge(log *logrus.Entry) func(*actor.ActorSystem) *slog.Logger {
	return func(*actor.ActorSystem) *slog.Logger { return slog.New(&logHandler{log: log}) }
}

// logHandler is a slog.Handler over logrus.
type logHandler struct {
	log    *logrus.Entry
	fields []slog.Attr
	group  string
}

func levelOf(l slog.Level) logrus.Level {
	switch {
	case l >= slog.LevelError:
		return logrus.ErrorLevel
	case l >= slog.LevelWarn:
		return logrus.WarnLevel
	default:
		return logrus.DebugLevel
	}
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(_ context.Context, l slog.Level) bool {
	return h.log.Logger.IsLevelEnabled(levelOf(l))
}

// Handle implements slog.Handler. Values are formatted at once: they may be
// live pointers.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	fields := make(logrus.Fields, len(h.fields)+r.NumAttrs())
	for _, a := range h.fields {
		fields[a.Key] = fmt.Sprint(a.Value.Resolve().Any())
	}
	r.Attrs(func(a slog.Attr) bool {
		fields[h.group+a.Key] = fmt.Sprint(a.Value.Resolve().Any())
		return true
	})
	h.log.WithTime(r.Time).WithFields(fields).Log(levelOf(r.Level), r.Message)
	return nil
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.fields = append(append([]slog.Attr(nil), h.fields...), attrs...)
	return &next
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	next := *h
	next.group += name + "."
	return &next
}
