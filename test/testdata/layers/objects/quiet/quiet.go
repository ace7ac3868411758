package quiet // want "doc"

import "github.com/troupe-storage/troupe/objects"

var _ = objects.Nothing
