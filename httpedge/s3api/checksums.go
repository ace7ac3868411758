package s3api

import (
	"encoding/base64"
	"strings"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// integrity is what a client says about its payload: digests in headers, or a
// checksum that will follow in a trailer.
type integrity struct {
	md5       string             // raw 16 bytes; empty: not given
	sha256    string             // raw 32 bytes, from the signature; empty: not given
	algorithm checksum.Algorithm // of the one checksum; None: there is none
	value     checksum.Value     // unless it comes in a trailer
	trailing  bool               // it comes in a trailer
}

// integrity reads the digests of a request's payload. S3 takes one checksum at most.
func (r *request) integrity() (integrity, error) {
	var p integrity
	if r.caller.Payload == sigv4.Signed {
		p.sha256 = string(r.caller.PayloadSHA256[:])
	}
	if r.header.contentMD5.ok {
		sum, err := base64.StdEncoding.Strict().DecodeString(r.header.contentMD5.value)
		if err != nil || len(sum) != 16 {
			return p, refuse(codeInvalidDigest, "").with("Content-MD5", r.header.contentMD5.value)
		}
		p.md5 = string(sum)
	}
	trailers, err := r.header.trailers()
	if err != nil {
		return p, err
	}
	if len(r.header.sums)+len(trailers) > 1 {
		return p, refuse(codeInvalidRequest, "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
	}
	for _, s := range r.header.sums {
		if p.value, err = headerSum(s); err != nil {
			return p, err
		}
		if p.value.Type != checksum.FullObject {
			return p, invalidSum(s.Name)
		}
		p.algorithm = p.value.Algorithm
	}
	for _, a := range trailers {
		if r.caller.Payload != sigv4.ChunkedSignedTrailer && r.caller.Payload != sigv4.ChunkedUnsignedTrailer {
			return p, refuse(codeInvalidRequest, "x-amz-trailer needs a payload that was sent with a trailer.")
		}
		p.algorithm, p.trailing = a, true
	}
	return p, r.header.checkSDK(p.algorithm)
}

// headerSum reads the value of one x-amz-checksum-… header.
func headerSum(s objects.Pair) (checksum.Value, error) {
	a, ok := checksum.Parse(s.Name)
	if !ok {
		return checksum.Value{}, refuse(codeInvalidRequest, "The algorithm type you specified in x-amz-checksum- header is invalid.")
	}
	v, err := checksum.ParseValue(a, s.Value)
	if err != nil {
		return checksum.Value{}, invalidSum(s.Name)
	}
	return v, nil
}

func invalidSum(algorithm string) *Error {
	return refuse(codeInvalidRequest, "Value for x-amz-checksum-"+algorithm+" header is invalid.")
}

// trailers returns the checksums that x-amz-trailer announces.
func (h *header) trailers() ([]checksum.Algorithm, error) {
	if h.trailer == "" {
		return nil, nil
	}
	var list []checksum.Algorithm
	for name := range strings.SplitSeq(h.trailer, ",") {
		name, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(name)), "x-amz-checksum-")
		a, known := checksum.Parse(name)
		if !ok || !known {
			return nil, refuse(codeInvalidRequest, "The value specified in the x-amz-trailer header is not supported")
		}
		list = append(list, a)
	}
	return list, nil
}

// checkSDK compares the algorithm that an SDK announces with the checksum that
// it sends.
func (h *header) checkSDK(sent checksum.Algorithm) error {
	if h.sdkAlgorithm == "" {
		return nil
	}
	announced, ok := checksum.Parse(h.sdkAlgorithm)
	switch {
	case !ok:
		return refuse(codeInvalidRequest, "Value for x-amz-sdk-checksum-algorithm header is invalid.")
	case sent == checksum.None:
		return refuse(codeInvalidRequest, "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.")
	case announced != sent:
		return refuse(codeBadDigest, "The algorithm in x-amz-sdk-checksum-algorithm is not that of the checksum.")
	}
	return nil
}

// expect returns the checksum that the payload must have, once it was read.
func (p *integrity) expect(from Body) ([]checksum.Value, error) {
	switch {
	case p.algorithm == checksum.None:
		return nil, nil
	case !p.trailing:
		return []checksum.Value{p.value}, nil
	}
	for _, t := range from.Trailers() {
		if t.Name != p.algorithm.Header() {
			continue
		}
		v, err := checksum.ParseValue(p.algorithm, t.Value)
		if err != nil || v.Type != checksum.FullObject {
			return nil, refuse(codeInvalidRequest, "Value for "+t.Name+" trailing header is invalid.")
		}
		return []checksum.Value{v}, nil
	}
	return nil, refuse(codeMalformedTrailer, "")
}

// wanted reads what a client asks to be computed: x-amz-checksum-algorithm and
// x-amz-checksum-type. Without them it is CRC64NVME of the full object, as on S3.
func (h *header) wanted() (checksum.Wanted, error) {
	if h.checksumAlgorithm == "" {
		if h.checksumType != "" {
			return checksum.Wanted{}, refuse(codeInvalidRequest, "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
		}
		return checksum.Wanted{Algorithm: checksum.CRC64NVME, Type: checksum.FullObject}, nil
	}
	a, ok := checksum.Parse(h.checksumAlgorithm)
	if !ok {
		return checksum.Wanted{}, refuse(codeInvalidRequest, "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
	}
	w := checksum.Wanted{Algorithm: a, Type: a.DefaultType()}
	if h.checksumType != "" {
		if w.Type, ok = checksum.ParseType(h.checksumType); !ok {
			return checksum.Wanted{}, refuse(codeInvalidRequest, "Value for x-amz-checksum-type header is invalid.")
		}
	}
	if w.Check() != nil {
		return checksum.Wanted{}, refuse(codeInvalidRequest, "The "+w.Type.String()+" checksum type cannot be used with the "+w.Algorithm.String()+" checksum algorithm.")
	}
	return w, nil
}

// setSums names an object's checksums in the answer's headers.
func (r *request) setSums(values []checksum.Value) {
	for _, v := range values {
		r.set(v.Algorithm.Header(), v.String())
		r.set("x-amz-checksum-type", v.Type.String())
	}
}

// sumElement is the name of an algorithm's element in S3's documents.
func sumElement(a checksum.Algorithm) string { return "Checksum" + a.String() }

// sums writes the elements of checksums.
func (m *markup) sums(values []checksum.Value) {
	for _, v := range values {
		m.text(sumElement(v.Algorithm), v.String())
	}
}

// sumsAndType writes the elements of checksums with their type.
func (m *markup) sumsAndType(values []checksum.Value) {
	m.sums(values)
	if len(values) > 0 {
		m.text("ChecksumType", values[0].Type.String())
	}
}
