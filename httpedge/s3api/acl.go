package s3api

import (
	"slices"

	"github.com/valyala/fasthttp"
)

// Access control lists: one account owns everything, so every list is that
// account's FULL_CONTROL, and a request may ask for that and nothing else.

// privateACL judges the headers that ask for an access control list with a new
// bucket or object.
func (r *request) privateACL() error {
	if r.header.grants {
		return refuse(codeNotImplemented, "Access control lists other than private are not implemented.")
	}
	if !r.header.acl.ok {
		return nil
	}
	switch acl := r.header.acl.value; {
	case acl == "private":
		return nil
	case acl == "bucket-owner-full-control", acl == "bucket-owner-read":
		// The bucket's owner is the object's, so these are private; for a
		// bucket S3 ignores them.
		return nil
	case slices.Contains([]string{"public-read", "public-read-write", "authenticated-read", "aws-exec-read", "log-delivery-write"}, acl):
		return refuse(codeNotImplemented, "Access control lists other than private are not implemented.").argument("x-amz-acl", acl)
	default:
		return refuse(codeInvalidArgument, "").argument("x-amz-acl", acl)
	}
}

// accessControl writes the one access control list that there is.
func (r *request) accessControl() {
	m := r.newMarkup()
	m.root("AccessControlPolicy")
	r.owner(m, "Owner")
	m.open("AccessControlList")
	m.open("Grant")
	m.raw(`<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">`)
	m.text("ID", r.h.config.Owner.ID)
	m.text("DisplayName", r.h.config.Owner.DisplayName)
	m.end("Grantee")
	m.text("Permission", "FULL_CONTROL")
	m.end("Grant")
	m.end("AccessControlList")
	m.end("AccessControlPolicy")
	r.send(m)
}

// noObjectLock answers GetObjectLegalHold and GetObjectRetention: S3's words for
// a bucket without Object Lock.
func noObjectLock(r *request) error {
	if _, err := r.head(); err != nil {
		return err
	}
	return refuse(codeInvalidRequest, "Bucket is missing Object Lock Configuration")
}

// getBucketACL answers GetBucketAcl.
func getBucketACL(r *request) error {
	if _, err := r.bucket(); err != nil {
		return err
	}
	r.accessControl()
	return nil
}

// getObjectACL answers GetObjectAcl.
func getObjectACL(r *request) error {
	if _, err := r.head(); err != nil {
		return err
	}
	r.accessControl()
	return nil
}

// putBucketACL answers PutBucketAcl: what is so already may be asked for.
func putBucketACL(r *request) error {
	if _, err := r.bucket(); err != nil {
		return err
	}
	return r.keepACL()
}

// putObjectACL answers PutObjectAcl likewise.
func putObjectACL(r *request) error {
	if _, err := r.head(); err != nil {
		return err
	}
	return r.keepACL()
}

func (r *request) keepACL() error {
	if err := r.privateACL(); err != nil {
		return err
	}
	if !r.header.acl.ok {
		return refuse(codeNotImplemented, "Access control lists in documents are not implemented.")
	}
	return r.empty(fasthttp.StatusOK)
}
