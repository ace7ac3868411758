// Package cluster has a file whose name says nothing.
package cluster // want "name"

import "github.com/troupe-storage/troupe/mountpath/disk" // want "import"

var _ = disk.Nothing
