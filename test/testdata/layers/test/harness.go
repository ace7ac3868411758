// Package test sleeps where it should wait.
package test

import (
	"time"

	"github.com/troupe-storage/troupe/cmd/troupe"
)

var _ = troupe.Nothing

func wait() { time.Sleep(1) } // want "sleep"
