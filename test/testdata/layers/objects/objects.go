// Package objects breaks its rules on purpose.
package objects

import (
	"net"
	"os"

	"github.com/troupe-storage/troupe/messages" // want "import"
)

var _ = net.ParseIP("::")
var _, _ = os.Open("x")              // want "pure"
var _, _ = net.Dial("tcp", "host:1") // want "pure"
var _ messages.Nothing
