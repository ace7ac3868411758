package api

import "time"

// QuarantinePath is where it is seen what a node refuses because its handling panicked
// again and again: GET lists it, GET QuarantinePath/ID shows one with all the evidence,
// DELETE QuarantinePath/ID releases it. Every request is signed with the root pair.
const QuarantinePath = "/v1/quarantine"

// Quarantines answers a list, the newest first.
type Quarantines struct {
	Quarantines []Quarantine `json:"quarantines"`
}

// Quarantine is something that a node refuses to do, and why.
type Quarantine struct {
	ID      string `json:"id"`
	Thing   string `json:"thing"`   // key, bucket or job
	Subject string `json:"subject"` // photos/cat.jpg; of a job its kind and parameters
	// Access is what is refused: of a key read, head, write, delete, move or settle; of a bucket list,
	// change or delete; of a job run.
	Access   string    `json:"access"`
	BucketID string    `json:"bucket_id,omitempty"` // which life of the bucket
	Since    time.Time `json:"since"`
	Panics   int       `json:"panics"` // so often its handling had panicked by then

	// Of the last panic.

	Actor   string `json:"actor"`
	Message string `json:"message"` // OpenObject
	Cause   string `json:"cause"`
	Stack   string `json:"stack,omitempty"`   // at most 8 KiB; absent in a list
	Version string `json:"version,omitempty"` // of the binary

	Refused     int64      `json:"refused"` // requests, since the node's start
	LastRefused *time.Time `json:"last_refused,omitempty"`
	// Kept: it is on the node's disks, and refused after a crash, too.
	Kept bool `json:"kept"`
}
