// Package messages imports upwards and sideways.
package messages

import (
	"github.com/troupe-storage/troupe/actors" // want "import"
	"github.com/troupe-storage/troupe/api"    // want "import"
	"github.com/troupe-storage/troupe/objects"
)

var _, _, _ = objects.Nothing, api.Nothing, actors.Nothing
