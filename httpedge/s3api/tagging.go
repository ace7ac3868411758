package s3api

import (
	"encoding/xml"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
)

// S3's limits of an object's tags.
const (
	maxTags     = 10
	maxTagName  = 128 // characters
	maxTagValue = 256 // characters
)

// tags reads x-amz-tagging: pairs written as a query string.
func (h *header) tags() ([]objects.Pair, error) {
	if h.tagging.value == "" {
		return nil, nil
	}
	var tags []objects.Pair
	for pair := range strings.SplitSeq(h.tagging.value, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := unescape(name, plusIsSpace)
		if err == nil {
			value, err = unescape(value, plusIsSpace)
		}
		if err != nil || name == "" {
			return nil, refuse(codeInvalidArgument, "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.").
				argument("x-amz-tagging", h.tagging.value)
		}
		tags = append(tags, objects.Pair{Name: name, Value: value})
	}
	return tags, checkTags(tags)
}

// checkTags says why S3 refuses a set of tags for an object, or nil.
func checkTags(tags []objects.Pair) error {
	if len(tags) > maxTags {
		return refuse(codeBadRequest, "Object tags cannot be greater than "+itoa(maxTags))
	}
	for i, t := range tags {
		switch {
		case t.Name == "" || utf8.RuneCountInString(t.Name) > maxTagName || !tagText(t.Name):
			return refuse(codeInvalidTag, "The TagKey you have provided is invalid").with("TagKey", t.Name)
		case utf8.RuneCountInString(t.Value) > maxTagValue || !tagText(t.Value):
			return refuse(codeInvalidTag, "The TagValue you have provided is invalid").with("TagKey", t.Name).with("TagValue", t.Value)
		case strings.HasPrefix(t.Name, "aws:"):
			return refuse(codeInvalidTag, "System tags cannot be added/updated by requester").with("TagKey", t.Name)
		}
		for _, earlier := range tags[:i] {
			if earlier.Name == t.Name {
				return refuse(codeInvalidTag, "Cannot provide multiple Tags with the same key").with("TagKey", t.Name)
			}
		}
	}
	return nil
}

// tagText reports whether a tag's name or value is made of what S3 allows:
// letters, digits and spaces of any script, and a few signs.
func tagText(s string) bool {
	for _, c := range s {
		if !unicode.IsLetter(c) && !unicode.IsNumber(c) && !unicode.Is(unicode.Z, c) && !strings.ContainsRune("_.:/=+-@", c) || c == utf8.RuneError {
			return false
		}
	}
	return true
}

// getObjectTagging answers GetObjectTagging.
func getObjectTagging(r *request) error {
	meta, err := r.head()
	if err != nil {
		return err
	}
	m := r.newMarkup()
	m.root("Tagging")
	m.open("TagSet")
	for _, t := range meta.Tags {
		m.open("Tag")
		m.text("Key", t.Name)
		m.text("Value", t.Value)
		m.end("Tag")
	}
	m.end("TagSet")
	m.end("Tagging")
	r.setNonEmpty("x-amz-version-id", meta.VersionID)
	r.send(m)
	return nil
}

// maxTaggingDocument bounds the document of PutObjectTagging, in bytes: ten tags
// of the greatest size, escaped in full, and what is around them.
const maxTaggingDocument = 64 << 10

// parseTagging reads the document of PutObjectTagging.
func parseTagging(text []byte) ([]objects.Pair, error) {
	var tags []objects.Pair
	sets := 0
	err := eachChild(text, "Tagging", func(d *xml.Decoder, e *xml.StartElement) error {
		if e.Name.Local != "TagSet" {
			return d.Skip()
		}
		sets++
		var set struct {
			Tag []struct{ Key, Value string }
		}
		if err := d.DecodeElement(&set, e); err != nil {
			return err
		}
		for _, t := range set.Tag {
			tags = append(tags, objects.Pair{Name: t.Key, Value: t.Value})
		}
		return nil
	})
	if err == nil && sets != 1 {
		err = refuse(codeMalformedXML, "")
	}
	if err != nil {
		return nil, err
	}
	return tags, checkTags(tags)
}

// putObjectTagging answers PutObjectTagging: the document's tags are the object's
// from now on.
func putObjectTagging(r *request) error {
	text, err := r.readDocument(maxTaggingDocument)
	if err != nil {
		return err
	}
	tags, err := parseTagging(text)
	if err != nil {
		return err
	}
	if err := r.changeTags(tags); err != nil {
		return err
	}
	return r.empty(fasthttp.StatusOK)
}

// deleteObjectTagging answers DeleteObjectTagging.
func deleteObjectTagging(r *request) error {
	if err := r.changeTags(nil); err != nil {
		return err
	}
	return r.empty(fasthttp.StatusNoContent)
}

// changeTags replaces the tags of the object that the request is about.
func (r *request) changeTags(tags []objects.Pair) error {
	version, err := r.version()
	if err != nil {
		return err
	}
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	if version != "" { // the only version there is, or NoSuchVersion
		if _, err := r.h.config.Gateway.Head(r.context, bucket, r.target.key, version); err != nil {
			return err
		}
	}
	meta, err := r.h.config.Gateway.ChangeDraft(r.context, bucket, r.target.key, messages.DraftChange{Tags: tags, ReplaceTags: true})
	if err != nil {
		return err
	}
	r.setNonEmpty("x-amz-version-id", meta.VersionID)
	return nil
}
