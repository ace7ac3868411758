package objects

import "errors"

// What can be wrong with a request beyond its kind. An errs.Error wraps one of
// these where a caller can tell them apart; the S3 edge has a code for each.
var (
	ErrNoSuchBucket       = errors.New("the bucket does not exist")
	ErrNoSuchKey          = errors.New("the object does not exist")
	ErrNoSuchVersion      = errors.New("the version does not exist")
	ErrNoSuchUpload       = errors.New("the multipart upload does not exist; it may have been completed or aborted")
	ErrBucketExists       = errors.New("the bucket exists already")
	ErrBucketNotEmpty     = errors.New("the bucket is not empty")
	ErrBucketName         = errors.New("the bucket name is not valid")
	ErrObjectName         = errors.New("the object name is not valid")
	ErrNameTooLong        = errors.New("the object name is too long")
	ErrPreconditionFailed = errors.New("a condition of the request does not hold")
	ErrInvalidPart        = errors.New("a part was not found, or its entity tag does not match")
	ErrInvalidPartOrder   = errors.New("the parts are not in ascending order")
	ErrPartTooSmall       = errors.New("a part that is not the last is smaller than the minimum")
	ErrBadDigest          = errors.New("the content does not match the checksum that came with it")
	ErrIncompleteBody     = errors.New("the body ended before its declared length")
	ErrTooLarge           = errors.New("the object is larger than the limit")
	ErrOutcomeUnknown     = errors.New("the outcome is unknown: the write may or may not have happened")
	ErrUserTooLarge       = errors.New("the user metadata is larger than the limit")
	ErrInvalidRange       = errors.New("the range lies outside the object")
	ErrNoSlice            = errors.New("a slice of the payload that the record names here is not here")
)
