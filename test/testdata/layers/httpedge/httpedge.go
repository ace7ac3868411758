// Package httpedge keeps the rules, and may import its own rooms.
package httpedge

import (
	"time"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/httpedge/gateway"
)

var _, _ = api.Nothing, gateway.Nothing

func pause() { time.Sleep(0) } // want "clock"
