package native

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/objects"
)

// checksumType is the only type that payloads get here: every record has the
// xxhash64 of its payload, which AIStore calls xxhash2.
const checksumType = "xxhash2"

// propsOf is a bucket's properties as AIStore's clients read them. What is not
// implemented stands there as switched off.
func propsOf(doc *objects.BucketDoc) ais.BucketProps {
	props := ais.BucketProps{
		WritePolicy: ais.WritePolicy{Data: "immediate", MD: "immediate"},
		Provider:    ais.ProviderAIS,
		Checksum:    ais.ChecksumConfig{Type: checksumType, ValidateWarmGet: doc.Props.ValidateWarmGet},
		RateLimit: ais.RateLimit{
			Backend:  ais.RateLimitBackend{Interval: "1m", MaxTokens: 1000, NumRetries: 3},
			Frontend: ais.RateLimitFrontend{Interval: "1m", MaxTokens: 1000, BurstSize: 375},
		},
		EC:         ais.ECConfig{SizeLimit: 256 << 10, Compression: "never", BundleMultiplier: 2, BurstBuffer: 512, DataSlices: 2, ParitySlices: 2},
		Chunks:     ais.ChunksConfig{SizeLimit: "0B", MaxMonolithicSize: "1TiB", ChunkSize: "1GiB"},
		Mirror:     ais.MirrorConfig{Copies: 2, BurstBuffer: 512},
		LRU:        ais.LRUConfig{DontEvictTime: "2h0m", CapacityUpdTime: "10m", BatchSize: 32768},
		Access:     math.MaxUint64,
		ID:         binary.BigEndian.Uint64(doc.ID[:]),
		Created:    doc.Created.UnixNano(),
		Versioning: ais.Versioning{Enabled: !doc.Props.HideWrites},
		Troupe: ais.TroupeProps{
			Durability: string(doc.Props.Class()), ETag: string(doc.Props.ETagKind()), ValidateWarmGet: doc.Props.ValidateWarmGet,
			S3Versioning: string(doc.Props.Versioning),
			Copies:       doc.Props.Owners(), MinCopies: doc.Props.LeastCopies(), Reads: string(doc.Props.Consistency()),
		},
	}
	if wanted := doc.Wanted(); doc.Next != nil {
		props.Troupe.NextCopies, props.Troupe.NextMinCopies = wanted.Owners(), wanted.LeastCopies()
	}
	return props
}

// setters change one property each; their keys are paths in ais.BucketProps.
func setters(next *objects.BucketProps) map[string]func(json.RawMessage) error {
	hide := false
	return map[string]func(json.RawMessage) error{
		"troupe.durability":          into(&next.Durability),
		"troupe.etag":                into(&next.ETag),
		"troupe.validate_warm_get":   into(&next.ValidateWarmGet),
		"troupe.copies":              into(&next.Copies),
		"troupe.min_copies":          into(&next.MinCopies),
		"troupe.reads":               into(&next.Reads),
		"checksum.validate_warm_get": into(&next.ValidateWarmGet),
		"versioning.enabled": func(value json.RawMessage) error {
			err := into(&hide)(value)
			next.HideWrites = !hide
			return err
		},
	}
}

func into[T any](field *T) func(json.RawMessage) error {
	return func(value json.RawMessage) error { return json.Unmarshal(value, field) }
}

// isReadOnly reports whether nobody can set the property.
func isReadOnly(path string) bool {
	switch path {
	case "provider", "renamed", "bid", "created", "troupe.s3_versioning", "troupe.next_copies", "troupe.next_min_copies":
		return true
	}
	return false
}

// isForeign reports whether AIStore has the property though it does not show it
// where it is not set.
func isForeign(path string) bool {
	for _, prefix := range []string{"extra.aws.", "extra.gcp.", "extra.oci.", "rate_limit.backend.per_op_max_tokens", "rate_limit.frontend.per_op_max_tokens"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	switch path {
	case "extra.custom", "extra.gcp", "extra.oci", "chunks.checkpoint_every", "chunks.flags", "lru.batch_size":
		return true
	}
	return false
}

// changedProps applies the value of set-bprops, or of create-bck, to the
// properties of a bucket: any subset of ais.BucketProps. A property that is not
// implemented may be given as it is; a change of one is refused by name, and so is
// a property that AIStore does not know. What comes out is wanted (objects.BucketDoc.With).
func changedProps(doc *objects.BucketDoc, value json.RawMessage) (objects.BucketProps, error) {
	next := doc.Wanted()
	if !hasValue(value) {
		return next, Refuse(fasthttp.StatusBadRequest, "", "no properties are given")
	}
	asked := make(map[string]json.RawMessage)
	if err := flatten(asked, "", value, 0); err != nil {
		return next, err
	}
	current, err := json.Marshal(propsOf(doc))
	if err != nil {
		return next, err
	}
	now := make(map[string]json.RawMessage)
	if err := flatten(now, "", current, 0); err != nil {
		return next, err
	}
	if shown := now["troupe.next_copies"]; shown != nil && equalJSON(shown, asked["troupe.next_copies"]) {
		// All of it is sent back as it was shown: what is to come is not taken back by that.
		for _, path := range []string{"troupe.copies", "troupe.min_copies"} {
			if equalJSON(now[path], asked[path]) {
				delete(asked, path)
			}
		}
	}
	set := setters(&next)
	for _, path := range slices.Sorted(maps.Keys(asked)) { // the same fault is named each time
		given := asked[path]
		if path == "force" { // skips checks of numbers of targets, of which there are none
			continue
		}
		if apply := set[path]; apply != nil {
			if err := apply(given); err != nil {
				return next, Refuse(fasthttp.StatusBadRequest, "", "property %q: %s is not what is expected: %v", path, given, err)
			}
			continue
		}
		shown, known := now[path]
		switch {
		case known && equalJSON(shown, given), isForeign(path) && isNothing(given), isSection(now, path) && isNothing(given):
		case isReadOnly(path):
			return next, Refuse(fasthttp.StatusBadRequest, "", "property %q is readonly", path)
		case path == "checksum.type" && !isChecksumType(given):
			return next, Refuse(fasthttp.StatusBadRequest, "", "property %q: invalid checksum type %s: it is one of %s", path, given, checksumTypes)
		case known, isForeign(path):
			return next, Refuse(fasthttp.StatusNotImplemented, typeUnsupported, "property %q cannot be %s: it is not implemented, and stays %s", path, given, orNothing(shown))
		default:
			return next, Refuse(fasthttp.StatusBadRequest, "", "unknown property %q", path)
		}
	}
	if asked["troupe.copies"] != nil && asked["troupe.min_copies"] == nil && doc.Next != nil && next.Owners() == doc.Props.Owners() {
		next.MinCopies = doc.Props.MinCopies // it is all taken back
	}
	if asked["troupe.copies"] != nil && next.Copies == 0 && doc.Version > 0 { // the default is for who makes one: here it would be one copy
		return next, Refuse(fasthttp.StatusBadRequest, "", "copies 0 is not from 1 to %d", objects.MaxCopies)
	}
	if err := next.Check(); err != nil {
		return next, Refuse(fasthttp.StatusBadRequest, "", "%v", err)
	}
	return next, nil
}

// isChecksumType reports whether a property's value is a type that AIStore has.
func isChecksumType(value json.RawMessage) bool {
	var kind string
	return json.Unmarshal(value, &kind) == nil && (kind == "none" || newChecksum(kind) != nil)
}

// maxPropsDepth bounds how deep a value may be nested: AIStore's are 3 deep.
const maxPropsDepth = 8

// flatten cuts a JSON object into paths in lower case, joined by dots, and what
// is there.
func flatten(paths map[string]json.RawMessage, at string, value json.RawMessage, depth int) error {
	if trimmed := bytes.TrimSpace(value); len(trimmed) == 0 || trimmed[0] != '{' {
		if at == "" {
			return Refuse(fasthttp.StatusBadRequest, "", "the properties are not a JSON object")
		}
		paths[at] = value
		return nil
	}
	if depth == maxPropsDepth {
		return Refuse(fasthttp.StatusBadRequest, "", "property %q: nested too deep", at)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(value, &fields); err != nil {
		return Refuse(fasthttp.StatusBadRequest, "", "the properties are not JSON: %v", err)
	}
	for name, field := range fields {
		path := strings.ToLower(name)
		if at != "" {
			path = at + "." + path
		}
		if err := flatten(paths, path, field, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// isSection reports whether the path is that of an object in the properties.
func isSection(paths map[string]json.RawMessage, path string) bool {
	for p := range paths {
		if rest, below := strings.CutPrefix(p, path); below && strings.HasPrefix(rest, ".") {
			return true
		}
	}
	return path == "extra" || path == "extra.aws"
}

// isNothing reports whether a JSON value is none: null, zero, empty or false.
func isNothing(value json.RawMessage) bool {
	switch string(bytes.TrimSpace(value)) {
	case "null", `""`, "0", "false", "{}", "[]", `"0"`:
		return true
	}
	return false
}

// equalJSON reports whether two scalars say the same, a number in quotes and one
// without likewise.
func equalJSON(a, b json.RawMessage) bool {
	return strings.Trim(string(bytes.TrimSpace(a)), `"`) == strings.Trim(string(bytes.TrimSpace(b)), `"`)
}

func orNothing(value json.RawMessage) string {
	if len(value) == 0 {
		return "unset"
	}
	return string(value)
}
