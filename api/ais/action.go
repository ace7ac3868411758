package ais

import "encoding/json"

// Action is the message that most requests carry as their body, GET and DELETE
// among them. Keys are matched in any case, unknown ones are ignored.
type Action struct {
	Action string          `json:"action"`
	Name   string          `json:"name"`
	Value  json.RawMessage `json:"value"`
}

// The actions that a node knows by name, whether it does them or not.
const (
	ActionList            = "list"
	ActionCreateBucket    = "create-bck"
	ActionDestroyBucket   = "destroy-bck"
	ActionSetProps        = "set-bprops"
	ActionResetProps      = "reset-bprops"
	ActionMoveBucket      = "move-bck"
	ActionCopyBucket      = "copy-bck"
	ActionTransformBucket = "etl-bck"
	ActionEvictBucket     = "evict-remote-bck"
	ActionSummary         = "summary-bck"
	ActionShardSummary    = "summary-shard"
	ActionCopyList        = "copy-listrange"
	ActionTransformList   = "etl-listrange"
	ActionPrefetchList    = "prefetch-listrange"
	ActionDeleteList      = "delete-listrange"
	ActionEvictList       = "evict-listrange"
	ActionMakeCopies      = "make-n-copies"
	ActionErasureCode     = "ec-encode"
	ActionRechunk         = "rechunk"
	ActionIndexShard      = "index-shard"
	ActionCreateInventory = "create-inventory"
	ActionShowInventory   = "show-inventory"
	ActionDropInventory   = "destroy-inventory"
	ActionArchive         = "archive"
	ActionRename          = "rename-obj"
	ActionCheckLock       = "check-lock"
	ActionPromote         = "promote"
	ActionBlobDownload    = "blob-download"
	ActionStartParts      = "mpt-upload"
	ActionCompleteParts   = "mpt-complete"
	ActionAbortParts      = "mpt-abort"
)

// PartName names one part of a multipart upload when it is completed.
type PartName struct {
	Number int    `json:"part-number"`
	ETag   string `json:"etag"`
}
