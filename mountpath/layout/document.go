package layout

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"unicode/utf8"

	"github.com/troupe-storage/troupe/objects/errs"
)

// A document is an indented JSON object whose last member is
//
//	"crc32c": "<8 lower-case hexadecimal digits>"
//
// the CRC-32C of every byte before the quote that begins it. A newline ends the
// document. People may read it with anything; editing it by hand breaks it.
const (
	crcMember = `"crc32c": "`
	crcEnd    = "\"\n}\n"
	crcDigits = 2 * crcBytes
)

// encodeDocument writes v, which must encode as a JSON object with a member.
func encodeDocument(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	body, ok := bytes.CutSuffix(out.Bytes(), []byte("\n}\n"))
	if !ok {
		return nil, fmt.Errorf("%T is not a JSON object with members", v)
	}
	body = append(body, ",\n  "...)
	sum := crc32.Checksum(body, castagnoli)
	return fmt.Appendf(body, "%s%08x%s", crcMember, sum, crcEnd), nil
}

// decodeDocument checks the CRC, then the version, and reads v. Members that v
// does not have are passed over. A version above known is ErrNewer even if the
// CRC does not hold: a newer format may be closed in another way.
func decodeDocument(op errs.Op, what string, b []byte, known int, v any) error {
	corrupt := func(err error) error { return errs.E(op, what, errs.Corrupt, err) }
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return corrupt(err)
	}
	if head.Version > known {
		return errs.E(op, what, errs.Internal,
			fmt.Errorf("%w: format version %d, this binary reads versions up to %d", ErrNewer, head.Version, known))
	}
	tail := len(crcMember) + crcDigits + len(crcEnd)
	if len(b) < tail {
		return corrupt(errors.New("it has no crc32c"))
	}
	body, rest := b[:len(b)-tail], b[len(b)-tail:]
	rest, okMember := bytes.CutPrefix(rest, []byte(crcMember))
	digits, okEnd := bytes.CutSuffix(rest, []byte(crcEnd))
	if !okMember || !okEnd {
		return corrupt(errors.New("its last member is not crc32c"))
	}
	if want := fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli)); string(digits) != want {
		return corrupt(fmt.Errorf("crc32c %q, want %s", digits, want))
	}
	if head.Version < 1 {
		return corrupt(fmt.Errorf("format version %d, the first is 1", head.Version))
	}
	if err := json.Unmarshal(b, v); err != nil {
		return corrupt(err)
	}
	return nil
}

// text is a string in a document: a JSON string where it is UTF-8, else
// {"base64": "…"}, since JSON would change it and a header may be anything.
type text string

// MarshalJSON implements json.Marshaler.
func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(string(t)); err != nil {
			return nil, err
		}
		return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
	}
	return json.Marshal(rawText{base64.StdEncoding.EncodeToString([]byte(t))})
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		return json.Unmarshal(b, (*string)(t))
	}
	var raw rawText
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	plain, err := base64.StdEncoding.DecodeString(raw.Base64)
	*t = text(plain)
	return err
}

type rawText struct {
	Base64 string `json:"base64"`
}

// digest is a 64-bit hash in a document: 16 hexadecimal digits, because numbers
// of JSON are exact to 53 bits only for many readers.
type digest uint64

// MarshalText implements encoding.TextMarshaler.
func (d digest) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(d)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *digest) UnmarshalText(b []byte) error {
	var raw [8]byte
	if len(b) != 2*len(raw) {
		return fmt.Errorf("%q is not 16 hexadecimal digits", b)
	}
	if _, err := hex.Decode(raw[:], b); err != nil {
		return err
	}
	*d = 0
	for _, x := range raw {
		*d = *d<<8 | digest(x)
	}
	return nil
}

// Text is a string in a document of someone else's: a JSON string where it is
// UTF-8, else {"base64": "…"}.
type Text = text
