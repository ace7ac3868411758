package s3api

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// body says whether a request may come without a document.
type body bool

const (
	required     body = false
	emptyAllowed body = true
)

// readDocument reads a request's body of at most limit bytes into memory and
// checks it against every digest that came with it, before anything is done
// with it.
func (r *request) readDocument(limit int64) ([]byte, error) {
	promise, err := r.integrity()
	if err != nil {
		return nil, err
	}
	if err := r.open(limit); err != nil {
		return nil, tooLong(err, limit)
	}
	text, err := io.ReadAll(r.body)
	if err != nil {
		return nil, tooLong(err, limit)
	}
	return text, promise.check(text, r.body)
}

// tooLong says of a document that is too large what S3 says of documents.
func tooLong(err error, limit int64) error {
	if errors.Is(err, objects.ErrTooLarge) {
		return refuse(codeMessageTooLong, "").with("MaxMessageLengthBytes", itoa(limit)).because(err)
	}
	return err
}

// check compares a whole payload with what was promised of it.
func (p *integrity) check(payload []byte, from Body) error {
	values, err := p.expect(from)
	if err != nil {
		return err
	}
	want := checksum.Want{MD5: p.md5 != "", SHA256: p.sha256 != ""}
	for _, v := range values {
		want.Sums = append(want.Sums, v.Algorithm)
	}
	digests := checksum.NewDigests(want)
	_, _ = digests.Write(payload) // it never fails
	return digests.Sums().Compare(checksum.Expected{Size: -1, MD5: p.md5, SHA256: p.sha256, Values: values})
}

// document reads a small XML body into a struct.
func (r *request) document(root string, limit int64, into any, may body) error {
	text, err := r.readDocument(limit)
	if err != nil {
		return err
	}
	if len(text) == 0 && may == emptyAllowed {
		return nil
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	start, err := rootOf(d, root)
	if err == nil {
		err = d.DecodeElement(into, start)
	}
	if err == nil {
		err = endOf(d)
	}
	if err != nil {
		return refuse(codeMalformedXML, "").because(err)
	}
	return nil
}

// errShape is a well-formed document of another kind.
var errShape = errors.New("not the document that was expected")

// rootOf reads up to the document's element and checks its name; the namespace
// is not looked at, since clients leave it out.
func rootOf(d *xml.Decoder, name string) (*xml.StartElement, error) {
	for {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if t.Name.Local != name {
				return nil, errShape
			}
			return &t, nil
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return nil, errShape
			}
		}
	}
}

// endOf checks that nothing but comments and space follows the document.
func endOf(d *xml.Decoder) error {
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			return errShape
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return errShape
			}
		}
	}
}

// eachChild calls visit for every element directly below the root of a
// document, one at a time, so that a hostile list is refused by count before it
// is in memory. Visit decodes or skips the element.
func eachChild(text []byte, root string, visit func(d *xml.Decoder, e *xml.StartElement) error) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	if _, err := rootOf(d, root); err != nil {
		return refuse(codeMalformedXML, "").because(err)
	}
	for {
		token, err := d.Token()
		if err != nil {
			return refuse(codeMalformedXML, "").because(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if err := visit(d, &t); err != nil {
				var refusal *Error
				if errors.As(err, &refusal) {
					return refusal
				}
				return refuse(codeMalformedXML, "").because(err)
			}
		case xml.EndElement:
			if err := endOf(d); err != nil {
				return refuse(codeMalformedXML, "").because(err)
			}
			return nil
		}
	}
}
