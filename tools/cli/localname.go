package cli

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"crypto/sha256"

	"github.com/troupe-storage/troupe/objects/errs"
)

// maxElementBytes is the longest name of a file on Linux's filesystems.
const maxElementBytes = 255

// errLocalName is why a key is no local name.
var errLocalName = errors.New("the key cannot be a local path")

// checkLocalName reports why a key, relative to what is downloaded, cannot be a path
// below the target as it stands. Such objects are refused rather than written under
// a name that is not theirs, which a later upload would not turn back.
func checkLocalName(name string) error {
	reason := ""
	elements := strings.Split(name, "/")
	for _, element := range elements {
		switch {
		case element == "" && len(elements) == 1:
			reason = "it is empty"
		case element == "":
			reason = "it begins with a slash, or has two in a row"
		case element == "." || element == "..":
			reason = fmt.Sprintf("it has the element %q", element)
		case strings.ContainsRune(element, 0):
			reason = "it has a zero byte"
		case len(element) > maxElementBytes:
			reason = fmt.Sprintf("it has an element of %d bytes, and a file's name has at most %d", len(element), maxElementBytes)
		case isPartial(element):
			reason = "unfinished downloads have such names"
		default:
			continue
		}
		return Advise(errs.E("download", name, errs.Invalid, fmt.Errorf("%w: %s", errLocalName, reason)),
			"copy it alone under another name: troupe cp troupe://BUCKET/KEY FILE")
	}
	return nil
}

// partialNames returns the names, in the directory of its target, under which a
// download is kept until it is whole, and of the note about its parts. They
// follow from what is downloaded to where, so that the next attempt finds them.
func partialNames(endpoint string, from address, target string) (part, note string) {
	name := ".troupe-" + digestOf(endpoint, from.bucket, from.key, target)
	return name + ".part", name + ".note"
}

// partialName is how the names of partialNames look.
var partialName = regexp.MustCompile(`\A\.troupe-[0-9a-f]{24}\.(part|note)\z`)

func isPartial(element string) bool { return partialName.MatchString(element) }

// digestOf returns 24 hex digits that stand for texts.
func digestOf(texts ...string) string {
	h := sha256.New()
	for _, t := range texts {
		fmt.Fprintf(h, "%d:%s", len(t), t)
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}
