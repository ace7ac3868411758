// Package disk is the one that may.
package disk

import (
	"os"
	"syscall"
)

var _, _ = os.Open("x")
var _ = syscall.EIO
