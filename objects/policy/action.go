package policy

import "strings"

// Action is what somebody wants to do. The zero value is an action that this
// package does not know: only "*" and "s3:*" mean it, too.
type Action uint8

// The actions that a policy may name. The order means nothing.
const (
	OtherAction Action = iota
	AbortMultipartUpload
	BypassGovernanceRetention
	CreateBucket
	DeleteBucket
	DeleteBucketOwnershipControls
	DeleteBucketPolicy
	DeleteBucketWebsite
	DeleteObject
	DeleteObjectTagging
	DeleteObjectVersion
	DeleteObjectVersionTagging
	GetAccelerateConfiguration
	GetAnalyticsConfiguration
	GetBucketACL
	GetBucketCORS
	GetBucketLocation
	GetBucketLogging
	GetBucketNotification
	GetBucketObjectLockConfiguration
	GetBucketOwnershipControls
	GetBucketPolicy
	GetBucketPolicyStatus
	GetBucketPublicAccessBlock
	GetBucketRequestPayment
	GetBucketTagging
	GetBucketVersioning
	GetBucketWebsite
	GetEncryptionConfiguration
	GetIntelligentTieringConfiguration
	GetInventoryConfiguration
	GetLifecycleConfiguration
	GetMetricsConfiguration
	GetObject
	GetObjectACL
	GetObjectAttributes
	GetObjectLegalHold
	GetObjectRetention
	GetObjectTagging
	GetObjectTorrent
	GetObjectVersion
	GetObjectVersionACL
	GetObjectVersionAttributes
	GetObjectVersionForReplication
	GetObjectVersionTagging
	GetReplicationConfiguration
	InitiateReplication
	ListAllMyBuckets
	ListBucket
	ListBucketMultipartUploads
	ListBucketVersions
	ListMultipartUploadParts
	ObjectOwnerOverrideToBucketOwner
	PutAccelerateConfiguration
	PutAnalyticsConfiguration
	PutBucketACL
	PutBucketCORS
	PutBucketLogging
	PutBucketNotification
	PutBucketObjectLockConfiguration
	PutBucketOwnershipControls
	PutBucketPolicy
	PutBucketPublicAccessBlock
	PutBucketRequestPayment
	PutBucketTagging
	PutBucketVersioning
	PutBucketWebsite
	PutEncryptionConfiguration
	PutIntelligentTieringConfiguration
	PutInventoryConfiguration
	PutLifecycleConfiguration
	PutMetricsConfiguration
	PutObject
	PutObjectACL
	PutObjectLegalHold
	PutObjectRetention
	PutObjectTagging
	PutObjectVersionACL
	PutObjectVersionTagging
	PutReplicationConfiguration
	ReplicateDelete
	ReplicateObject
	ReplicateTags
	RestoreObject
	UpdateObjectEncryption
	AssumeRole
	GetSessionToken
	TagSession
	actionCount
)

// about is what kind of resource an action is done to.
type about uint8

const (
	aboutBucket about = iota
	aboutObject
	aboutService // nothing that a policy of a bucket may name
)

// actionInfo is a row of actionTable.
type actionInfo struct {
	name  string // with its service
	about about
}

// actionTable names all actions, in the order of the constants.
func actionTable() [actionCount]actionInfo {
	bucket := func(name string) actionInfo { return actionInfo{"s3:" + name, aboutBucket} }
	object := func(name string) actionInfo { return actionInfo{"s3:" + name, aboutObject} }
	return [actionCount]actionInfo{
		OtherAction:                        {"", aboutService},
		AbortMultipartUpload:               object("AbortMultipartUpload"),
		BypassGovernanceRetention:          object("BypassGovernanceRetention"),
		CreateBucket:                       bucket("CreateBucket"),
		DeleteBucket:                       bucket("DeleteBucket"),
		DeleteBucketOwnershipControls:      bucket("DeleteBucketOwnershipControls"),
		DeleteBucketPolicy:                 bucket("DeleteBucketPolicy"),
		DeleteBucketWebsite:                bucket("DeleteBucketWebsite"),
		DeleteObject:                       object("DeleteObject"),
		DeleteObjectTagging:                object("DeleteObjectTagging"),
		DeleteObjectVersion:                object("DeleteObjectVersion"),
		DeleteObjectVersionTagging:         object("DeleteObjectVersionTagging"),
		GetAccelerateConfiguration:         bucket("GetAccelerateConfiguration"),
		GetAnalyticsConfiguration:          bucket("GetAnalyticsConfiguration"),
		GetBucketACL:                       bucket("GetBucketAcl"),
		GetBucketCORS:                      bucket("GetBucketCORS"),
		GetBucketLocation:                  bucket("GetBucketLocation"),
		GetBucketLogging:                   bucket("GetBucketLogging"),
		GetBucketNotification:              bucket("GetBucketNotification"),
		GetBucketObjectLockConfiguration:   bucket("GetBucketObjectLockConfiguration"),
		GetBucketOwnershipControls:         bucket("GetBucketOwnershipControls"),
		GetBucketPolicy:                    bucket("GetBucketPolicy"),
		GetBucketPolicyStatus:              bucket("GetBucketPolicyStatus"),
		GetBucketPublicAccessBlock:         bucket("GetBucketPublicAccessBlock"),
		GetBucketRequestPayment:            bucket("GetBucketRequestPayment"),
		GetBucketTagging:                   bucket("GetBucketTagging"),
		GetBucketVersioning:                bucket("GetBucketVersioning"),
		GetBucketWebsite:                   bucket("GetBucketWebsite"),
		GetEncryptionConfiguration:         bucket("GetEncryptionConfiguration"),
		GetIntelligentTieringConfiguration: bucket("GetIntelligentTieringConfiguration"),
		GetInventoryConfiguration:          bucket("GetInventoryConfiguration"),
		GetLifecycleConfiguration:          bucket("GetLifecycleConfiguration"),
		GetMetricsConfiguration:            bucket("GetMetricsConfiguration"),
		GetObject:                          object("GetObject"),
		GetObjectACL:                       object("GetObjectAcl"),
		GetObjectAttributes:                object("GetObjectAttributes"),
		GetObjectLegalHold:                 object("GetObjectLegalHold"),
		GetObjectRetention:                 object("GetObjectRetention"),
		GetObjectTagging:                   object("GetObjectTagging"),
		GetObjectTorrent:                   object("GetObjectTorrent"),
		GetObjectVersion:                   object("GetObjectVersion"),
		GetObjectVersionACL:                object("GetObjectVersionAcl"),
		GetObjectVersionAttributes:         object("GetObjectVersionAttributes"),
		GetObjectVersionForReplication:     object("GetObjectVersionForReplication"),
		GetObjectVersionTagging:            object("GetObjectVersionTagging"),
		GetReplicationConfiguration:        bucket("GetReplicationConfiguration"),
		InitiateReplication:                object("InitiateReplication"),
		ListAllMyBuckets:                   {"s3:ListAllMyBuckets", aboutService},
		ListBucket:                         bucket("ListBucket"),
		ListBucketMultipartUploads:         bucket("ListBucketMultipartUploads"),
		ListBucketVersions:                 bucket("ListBucketVersions"),
		ListMultipartUploadParts:           object("ListMultipartUploadParts"),
		ObjectOwnerOverrideToBucketOwner:   object("ObjectOwnerOverrideToBucketOwner"),
		PutAccelerateConfiguration:         bucket("PutAccelerateConfiguration"),
		PutAnalyticsConfiguration:          bucket("PutAnalyticsConfiguration"),
		PutBucketACL:                       bucket("PutBucketAcl"),
		PutBucketCORS:                      bucket("PutBucketCORS"),
		PutBucketLogging:                   bucket("PutBucketLogging"),
		PutBucketNotification:              bucket("PutBucketNotification"),
		PutBucketObjectLockConfiguration:   bucket("PutBucketObjectLockConfiguration"),
		PutBucketOwnershipControls:         bucket("PutBucketOwnershipControls"),
		PutBucketPolicy:                    bucket("PutBucketPolicy"),
		PutBucketPublicAccessBlock:         bucket("PutBucketPublicAccessBlock"),
		PutBucketRequestPayment:            bucket("PutBucketRequestPayment"),
		PutBucketTagging:                   bucket("PutBucketTagging"),
		PutBucketVersioning:                bucket("PutBucketVersioning"),
		PutBucketWebsite:                   bucket("PutBucketWebsite"),
		PutEncryptionConfiguration:         bucket("PutEncryptionConfiguration"),
		PutIntelligentTieringConfiguration: bucket("PutIntelligentTieringConfiguration"),
		PutInventoryConfiguration:          bucket("PutInventoryConfiguration"),
		PutLifecycleConfiguration:          bucket("PutLifecycleConfiguration"),
		PutMetricsConfiguration:            bucket("PutMetricsConfiguration"),
		PutObject:                          object("PutObject"),
		PutObjectACL:                       object("PutObjectAcl"),
		PutObjectLegalHold:                 object("PutObjectLegalHold"),
		PutObjectRetention:                 object("PutObjectRetention"),
		PutObjectTagging:                   object("PutObjectTagging"),
		PutObjectVersionACL:                object("PutObjectVersionAcl"),
		PutObjectVersionTagging:            object("PutObjectVersionTagging"),
		PutReplicationConfiguration:        bucket("PutReplicationConfiguration"),
		ReplicateDelete:                    object("ReplicateDelete"),
		ReplicateObject:                    object("ReplicateObject"),
		ReplicateTags:                      object("ReplicateTags"),
		RestoreObject:                      object("RestoreObject"),
		UpdateObjectEncryption:             object("UpdateObjectEncryption"),
		AssumeRole:                         {"sts:AssumeRole", aboutService},
		GetSessionToken:                    {"sts:GetSessionToken", aboutService},
		TagSession:                         {"sts:TagSession", aboutService},
	}
}

// String returns the action's name with its service: "s3:GetObject".
func (a Action) String() string {
	if a == OtherAction || a >= actionCount {
		return "(unknown)"
	}
	return actionTable()[a].name
}

// ActionNamed returns the action of a name; OtherAction if there is none. Names are
// compared without regard to case, as S3 does.
func ActionNamed(name string) Action {
	for a, info := range actionTable() {
		if a != 0 && strings.EqualFold(info.name, name) {
			return Action(a)
		}
	}
	return OtherAction
}

// actions is a set of them.
type actions [(int(actionCount) + 63) / 64]uint64

func (s *actions) add(a Action)      { s[a/64] |= 1 << (a % 64) }
func (s *actions) has(a Action) bool { return s[a/64]&(1<<(a%64)) != 0 }

func (s *actions) addAll(other *actions) {
	for i := range s {
		s[i] |= other[i]
	}
}

func (s *actions) isEmpty() bool { return *s == actions{} }

// complement is every action that is not in the set.
func (s *actions) complement() (all actions) {
	for a := range actionCount {
		if !s.has(a) {
			all.add(a)
		}
	}
	return all
}

// actionsOf returns the actions that a pattern means; "*" and "?" are wildcards.
func actionsOf(pattern string) (set actions) {
	compiled := literalPattern(pattern, true)
	compiled.fold = true
	for a, info := range actionTable() {
		if a != 0 && compiled.matchString(info.name, nil) {
			set.add(Action(a))
		}
	}
	if pattern == "*" || strings.EqualFold(pattern, "s3:*") {
		set.add(OtherAction)
	}
	return set
}
