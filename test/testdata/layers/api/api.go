// Package api imports a program.
package api

import "github.com/troupe-storage/troupe/cmd/troupe" // want "import"

var _ = troupe.Nothing
