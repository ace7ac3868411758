package disk

import "io"

// writePieces writes the pieces one behind the other.
func writePieces(file io.WriterAt, pieces [][]byte, offset int64) (int64, error) {
	written := int64(0)
	for _, p := range pieces {
		n, err := file.WriteAt(p, offset+written)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// firstBytes returns the first n bytes of the pieces, or all of them; what they
// lie in is not copied.
func firstBytes(pieces [][]byte, n int64) [][]byte {
	var first [][]byte
	for _, p := range pieces {
		if int64(len(p)) >= n {
			return append(first, p[:n])
		}
		first = append(first, p)
		n -= int64(len(p))
	}
	return first
}

// afterBytes returns what firstBytes leaves.
func afterBytes(pieces [][]byte, n int64) [][]byte {
	for i, p := range pieces {
		if int64(len(p)) > n {
			return append([][]byte{p[n:]}, pieces[i+1:]...)
		}
		n -= int64(len(p))
	}
	return nil
}
