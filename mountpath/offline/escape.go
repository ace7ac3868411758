package offline

import (
	"fmt"
	"strings"

	"github.com/troupe-storage/troupe/objects"
)

// Names of objects become paths of files by components, what lies between two
// slashes, each by itself:
//
//	a byte % or NUL       %25, %00
//	. and ..              %2E, %2E%2E; so is a last piece
//	an empty component    %-
//	more than 240 bytes   pieces of at most 240 bytes, each but the last with %+ at
//	                      its end, and a directory for each but the last
//	a name that is taken  %~ at the end: of a and a/b the later
//
// Everything else stays as it is. UnescapePath reads it back.
const (
	emptyComponent = "%-"
	continued      = "%+"
	// pieceBytes leaves room below NAME_MAX for what is put at the end.
	pieceBytes = 240
)

// Taken is put at the end of a component whose path another object has taken.
const Taken = "%~"

// BucketsFolder is the directory of all buckets' in a tree and in an archive.
const BucketsFolder = "buckets"

// EscapePath returns the components of the path for a name, as if nothing were
// taken.
func EscapePath(name string) []string {
	var path []string
	for component := range strings.SplitSeq(name, "/") {
		if component == "" {
			path = append(path, emptyComponent)
			continue
		}
		var piece strings.Builder
		for i := range len(component) {
			text := component[i : i+1]
			switch text {
			case "%":
				text = "%25"
			case "\x00":
				text = "%00"
			}
			if piece.Len()+len(text) > pieceBytes {
				path = append(path, piece.String()+continued)
				piece.Reset()
			}
			piece.WriteString(text)
		}
		last := piece.String()
		if last == "." || last == ".." {
			last = strings.ReplaceAll(last, ".", "%2E")
		}
		path = append(path, last)
	}
	return path
}

// UnescapePath returns the name that EscapePath made the components of, with or
// without the mark of a taken name.
func UnescapePath(path []string) (string, error) {
	var name strings.Builder
	for i, component := range path {
		component = strings.TrimSuffix(component, Taken)
		piece, more := strings.CutSuffix(component, continued)
		if piece != emptyComponent {
			plain, err := unescape(piece)
			if err != nil {
				return "", err
			}
			name.WriteString(plain)
		}
		if i < len(path)-1 && !more {
			name.WriteByte('/')
		}
	}
	return name.String(), nil
}

func unescape(piece string) (string, error) {
	var plain strings.Builder
	for i := 0; i < len(piece); i++ {
		if piece[i] != '%' {
			plain.WriteByte(piece[i])
			continue
		}
		code := piece[i:min(i+3, len(piece))]
		switch code {
		case "%25":
			plain.WriteByte('%')
		case "%00":
			plain.WriteByte(0)
		case "%2E":
			plain.WriteByte('.')
		default:
			return "", fmt.Errorf("%q is no escape", code)
		}
		i += 2
	}
	return plain.String(), nil
}

// BucketFolder returns the components of the directory for a bucket: its name; for
// one that is not of provider ais in the global namespace, name@provider or
// name@provider@namespace.
func BucketFolder(b objects.Bucket) []string {
	folder := b.Name
	if !b.Global() {
		folder += "@" + b.Provider
	}
	if b.Namespace != "" {
		folder += "@" + b.Namespace
	}
	return EscapePath(folder)
}
