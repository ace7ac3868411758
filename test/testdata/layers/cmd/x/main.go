// Program x imports a room past the supervisors.
package main

import (
	"github.com/troupe-storage/troupe/mountpath" // want "import"
	"github.com/troupe-storage/troupe/supervisors"
)

var _, _ = mountpath.Nothing, supervisors.Nothing

func main() {}
