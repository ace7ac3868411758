package native

import (
	"github.com/sirupsen/logrus"
	"github.com/valyala/fasthttp"
)

// logLevel is the document of /v1/log.
type logLevel struct {
	Level string `json:"level"` // debug, info, warning or error
}

// maxLogDocument bounds the body of a change of level.
const maxLogDocument = 1 << 10

// LogRoute shows and changes the level of the node's log: GET and PUT /v1/log
// {"level": "debug"}, for who signs with the root pair. The level lasts until the
// next change, reload or start.
func LogRoute(log *logrus.Logger) Route {
	show := func(r *Request) error { return r.JSON(logLevel{log.GetLevel().String()}) }
	change := func(r *Request) error {
		var wanted logLevel
		if err := r.Decode(maxLogDocument, &wanted); err != nil {
			return err
		}
		switch wanted.Level {
		case "debug", "info", "warning", "error":
		default:
			return Refuse(fasthttp.StatusBadRequest, "", "level %q is none of debug, info, warning, error", wanted.Level)
		}
		level, err := logrus.ParseLevel(wanted.Level)
		if err != nil {
			return err
		}
		log.WithFields(logrus.Fields{"from": log.GetLevel().String(), "to": wanted.Level}).Info("level of the log changed")
		log.SetLevel(level)
		return show(r)
	}
	return Route{Path: "/v1/log", Guard: Control, Handle: Verbs{get: show, put: change}.Handle}
}
