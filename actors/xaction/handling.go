package xaction

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/messages"
)

// mostParameters bounds how much of a job's parameters is in the name of what it
// handles, in bytes.
const mostParameters = 512

// handlingOf is what is quarantined of a job: a kind with its parameters, whatever id it
// has. Those that the node begins by itself get another one each time.
func handlingOf(kind string, parameters json.RawMessage) messages.Handling {
	var compact bytes.Buffer
	if json.Compact(&compact, parameters) != nil { // of a document that somebody edited
		compact.Reset()
		compact.Write(parameters)
	}
	name := kind
	switch text := compact.String(); {
	case len(text) > mostParameters:
		name += fmt.Sprintf(" %s… (%016x)", strings.ToValidUTF8(text[:mostParameters], ""), xxhash.Checksum64(compact.Bytes()))
	case text != "" && text != "null" && text != "{}":
		name += " " + text
	}
	return messages.Handling{Thing: messages.JobThing, Name: name, Does: messages.RunAccess}
}

// handling is what is quarantined of the job.
func (d *document) handling() messages.Handling { return handlingOf(d.Kind, d.Parameters) }
