package s3api

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects"
)

// createBucketConfiguration is the document of CreateBucket; it may be absent.
type createBucketConfiguration struct {
	LocationConstraint string
	Location           *struct{}
	Bucket             *struct{}
	Tags               *struct{}
}

// createBucket answers CreateBucket. Making a bucket that one owns already is
// no failure in us-east-1, for S3's historical reasons, and BucketAlreadyOwnedByYou
// in every other region; the existing bucket is not changed either way.
func createBucket(r *request) error {
	if err := objects.CheckS3BucketName(r.target.bucket); err != nil {
		return errorOf(err, r.target)
	}
	if err := r.privateACL(); err != nil {
		return err
	}
	switch strings.ToLower(r.header.lockEnabled) {
	case "", "false":
	case "true":
		return refuse(codeNotImplemented, "Object Lock is not implemented.")
	default:
		return refuse(codeInvalidArgument, "").argument("x-amz-bucket-object-lock-enabled", r.header.lockEnabled)
	}
	switch r.header.ownership {
	case "", "BucketOwnerEnforced": // which is how it is: one account owns everything
	case "BucketOwnerPreferred", "ObjectWriter":
		return refuse(codeNotImplemented, "Access control lists are not implemented.")
	default:
		return refuse(codeInvalidArgument, "Invalid x-amz-object-ownership header: "+r.header.ownership).argument("x-amz-object-ownership", r.header.ownership)
	}
	props, err := r.header.props()
	if err != nil {
		return err
	}
	var document createBucketConfiguration
	if err := r.document("CreateBucketConfiguration", r.h.config.Limits.SmallDocument, &document, emptyAllowed); err != nil {
		return err
	}
	switch {
	case document.Location != nil || document.Bucket != nil:
		return refuse(codeNotImplemented, "Directory buckets are not implemented.")
	case document.Tags != nil:
		return refuse(codeNotImplemented, "Bucket tags are not implemented.")
	case document.LocationConstraint != "" && document.LocationConstraint != r.h.config.Region && !slices.Contains(r.h.config.Regions, document.LocationConstraint):
		return refuse(codeInvalidLocation, "").with("LocationConstraint", document.LocationConstraint)
	}

	_, err = r.h.config.Gateway.CreateBucket(r.context, r.target.bucket, props)
	if err != nil && !(errors.Is(err, objects.ErrBucketExists) && r.h.config.Region == defaultRegion) {
		return err
	}
	r.set("Location", "/"+r.target.bucket)
	return r.empty(fasthttp.StatusOK)
}

// props are the properties of ours that a bucket is to be made with. S3 has no words for
// them.
func (h *header) props() (props objects.BucketProps, err error) {
	for _, number := range []struct {
		name, text string
		into       *int
	}{{"x-troupe-copies", h.copies, &props.Copies}, {"x-troupe-min-copies", h.minCopies, &props.MinCopies}} {
		if number.text == "" {
			continue
		}
		if *number.into, err = strconv.Atoi(number.text); err != nil || *number.into < 1 {
			return props, refuse(codeInvalidArgument, "Header "+number.name+" is no number of nodes.").argument(number.name, number.text)
		}
	}
	props.Reads = objects.Reads(h.reads)
	if err := props.Check(); err != nil {
		return props, refuse(codeInvalidArgument, "The bucket cannot be made like this: "+err.Error()+".")
	}
	return props, nil
}
