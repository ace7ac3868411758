package s3api

import (
	"encoding/xml"
	"errors"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/httpedge/intra"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// completedPart is one part in the document of CompleteMultipartUpload.
type completedPart struct {
	PartNumber        *int
	ETag              string
	ChecksumCRC32     string
	ChecksumCRC32C    string
	ChecksumCRC64NVME string
	ChecksumSHA1      string
	ChecksumSHA256    string
}

// sums returns the checksums that the client repeats.
func (p *completedPart) sums() map[checksum.Algorithm]string {
	var sums map[checksum.Algorithm]string
	for _, c := range []struct {
		algorithm checksum.Algorithm
		text      string
	}{
		{checksum.CRC32, p.ChecksumCRC32},
		{checksum.CRC32C, p.ChecksumCRC32C},
		{checksum.CRC64NVME, p.ChecksumCRC64NVME},
		{checksum.SHA1, p.ChecksumSHA1},
		{checksum.SHA256, p.ChecksumSHA256},
	} {
		if c.text == "" {
			continue
		}
		if sums == nil {
			sums = make(map[checksum.Algorithm]string, 1)
		}
		sums[c.algorithm] = c.text
	}
	return sums
}

// parseCompletion reads the document of CompleteMultipartUpload.
func parseCompletion(text []byte, maxParts int) ([]messages.CompletePart, error) {
	var parts []messages.CompletePart
	err := eachChild(text, "CompleteMultipartUpload", func(d *xml.Decoder, e *xml.StartElement) error {
		if e.Name.Local != "Part" {
			return d.Skip()
		}
		if len(parts) == maxParts {
			return refuse(codeMalformedXML, "").because(errors.New("more parts than an upload can have"))
		}
		var p completedPart
		if err := d.DecodeElement(&p, e); err != nil {
			return err
		}
		if p.PartNumber == nil || p.ETag == "" {
			return errShape
		}
		n := *p.PartNumber
		if n < 1 || n > maxParts {
			return refuse(codeInvalidArgument, "Part number must be an integer between 1 and "+itoa(maxParts)+", inclusive").argument("PartNumber", itoa(n))
		}
		if len(parts) > 0 && n <= parts[len(parts)-1].Number {
			return refuse(codeInvalidPartOrder, "")
		}
		parts = append(parts, messages.CompletePart{Number: n, ETag: strings.Trim(p.ETag, `"`), Checksums: p.sums()})
		return nil
	})
	if err == nil && len(parts) == 0 {
		err = refuse(codeMalformedXML, "")
	}
	return parts, err
}

// completeUpload answers CompleteMultipartUpload.
func completeUpload(r *request) error {
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	id, err := r.uploadID()
	if err != nil {
		return err
	}
	size := int64(-1)
	if r.header.objectSize != "" {
		n, err := strconv.ParseUint(r.header.objectSize, 10, 63)
		if err != nil {
			return refuse(codeInvalidArgument, "").argument("x-amz-mp-object-size", r.header.objectSize)
		}
		size = int64(n)
	}
	// The checksum header of this request is of the object, not of the document.
	whole := r.header.sums
	r.header.sums, r.header.sdkAlgorithm = nil, ""
	text, err := r.readDocument(r.h.config.Limits.PartsDocument)
	if err != nil {
		return err
	}
	parts, err := parseCompletion(text, r.h.config.Limits.MaxParts)
	if err != nil {
		return err
	}
	expected, err := r.checkCompletion(bucket, whole)
	if err != nil {
		return err
	}
	receipt, err := r.h.config.Gateway.CompleteUpload(r.context, bucket, gateway.Complete{
		Name:       r.target.key,
		UploadID:   id,
		Parts:      parts,
		Size:       size,
		Checksum:   expected,
		Conditions: r.header.writeConditions(),
	})
	if errors.Is(err, objects.ErrPartTooSmall) {
		return errorOf(err, r.target).with("MinSizeAllowed", itoa(r.h.config.Limits.MinPartBytes))
	}
	if err != nil {
		return err
	}
	r.setNonEmpty("x-amz-version-id", receipt.Meta.VersionID)
	r.receipt(receipt)
	m := r.newMarkup()
	m.root("CompleteMultipartUploadResult")
	m.text("Location", r.location())
	m.text("Bucket", r.target.bucket)
	m.text("Key", r.target.key)
	m.etag("ETag", receipt.Meta.ETag)
	m.sumsAndType(receipt.Meta.Checksums)
	m.end("CompleteMultipartUploadResult")
	r.send(m)
	return nil
}

// checkCompletion compares what the client says about checksums with what the
// upload announced, and returns the checksum expected of the whole in S3's form.
// An upload that is not there (any more) is the gateway's to judge: a repeated
// completion succeeds.
func (r *request) checkCompletion(bucket *objects.BucketDoc, whole []objects.Pair) (string, error) {
	if len(whole) > 1 {
		return "", refuse(codeInvalidRequest, "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
	}
	expected, algorithm := "", checksum.None
	if len(whole) == 1 {
		v, err := headerSum(whole[0])
		if err != nil {
			return "", err
		}
		expected, algorithm = v.String(), v.Algorithm
	}
	upload, err := r.findUpload(bucket)
	if errors.Is(err, objects.ErrNoSuchUpload) {
		return expected, nil
	}
	if err != nil {
		return "", err
	}
	announced := upload.Checksum
	if algorithm != checksum.None && algorithm != announced.Algorithm {
		return "", refuse(codeInvalidRequest, "Checksum Type mismatch occurred, expected checksum Type: "+strings.ToLower(announced.Algorithm.String())+
			", actual checksum Type: "+strings.ToLower(algorithm.String()))
	}
	if t := r.header.checksumType; t != "" {
		if kind, ok := checksum.ParseType(t); !ok || kind != announced.Type {
			return "", refuse(codeInvalidRequest, "The upload was created using the "+announced.Type.String()+" checksum mode. The complete request must use the same checksum mode.")
		}
	}
	return expected, nil
}

// location is the URL of the request's object, as the client addressed it.
func (r *request) location() string {
	scheme := "http://"
	if intra.Secure(r.ctx) {
		scheme = "https://"
	}
	path, _, _ := strings.Cut(string(r.ctx.Request.Header.RequestURI()), "?")
	return scheme + string(r.ctx.Request.Header.Host()) + path
}

// abortUpload answers AbortMultipartUpload.
func abortUpload(r *request) error {
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	id, err := r.uploadID()
	if err != nil {
		return err
	}
	if err := r.h.config.Gateway.AbortUpload(r.context, bucket, r.target.key, id); err != nil {
		return err
	}
	return r.empty(fasthttp.StatusNoContent)
}
