package policy

import "strings"

// KeyID says which condition key it is; the zero value is a key that no request has.
type KeyID uint8

// The condition keys that a request may have.
const (
	OtherKey KeyID = iota
	KeyCurrentTime
	KeyEpochTime
	KeyPrincipalAccount
	KeyPrincipalArn
	KeyPrincipalType
	KeyReferer
	KeyRequestTag
	KeyRequestedRegion
	KeyResourceAccount
	KeyResourceTag
	KeySecureTransport
	KeySourceIP
	KeyTagKeys
	KeyTokenIssueTime
	KeyUserAgent
	KeyUserID
	KeyUsername
	KeyAuthType
	KeyDelimiter
	KeyExistingObjectTag
	KeyGrantFullControl
	KeyGrantRead
	KeyGrantReadACP
	KeyGrantWrite
	KeyGrantWriteACP
	KeyIfMatch
	KeyIfNoneMatch
	KeyLocationConstraint
	KeyLegalHold
	KeyLockMode
	KeyLockRemainingDays
	KeyLockUntil
	KeyMaxKeys
	KeyObjectCreation
	KeyPrefix
	KeyRequestObjectTag
	KeyRequestObjectTagKeys
	KeySignatureAge
	KeySignatureVersion
	KeyTLSVersion
	KeyVersionID
	KeyACL
	KeyContentSHA256
	KeyCopySource
	KeyMetadataDirective
	KeyObjectOwnership
	KeyEncryption
	KeyEncryptionKMSKey
	KeyEncryptionCustomerAlgorithm
	KeyStorageClass
	KeyWebsiteRedirect
	keyCount
)

// Key is a condition key. Immutable.
type Key struct {
	ID   KeyID
	Tag  string // of a key about one tag: the tag's name
	name string // as documented, without the tag
}

// String returns the key's name.
func (k Key) String() string { return k.name + k.Tag }

// keyInfo is a row of keyTable.
type keyInfo struct {
	id      KeyID
	name    string                   // a name that ends in "/" is followed by that of a tag
	applies func(action Action) bool // nil: to every action
}

// only returns a function that reports whether an action is one of these.
func only(list ...Action) func(Action) bool {
	var set actions
	for _, a := range list {
		set.add(a)
	}
	return func(a Action) bool { return set.has(a) }
}

// keyTable is every key that the documentation of IAM (aws:) and of S3 (s3:) has.
func keyTable() []keyInfo {
	acl := only(CreateBucket, PutBucketACL, PutObject, PutObjectACL, PutObjectVersionACL)
	lists := only(ListBucket, ListBucketVersions, ListBucketMultipartUploads)
	put := only(PutObject, ReplicateObject)
	tagged := only(PutObject, PutObjectTagging, PutObjectVersionTagging, ReplicateTags)
	locks := only(PutObject, PutObjectRetention, PutObjectLegalHold, BypassGovernanceRetention, ReplicateObject)
	table := actionTable()
	versions := func(a Action) bool { return a != OtherAction && table[a].about == aboutObject }
	existing := func(a Action) bool {
		switch a {
		case GetObjectRetention, GetObjectLegalHold, PutObjectRetention, PutObjectLegalHold, AbortMultipartUpload, ListMultipartUploadParts:
			return false
		default:
			return versions(a)
		}
	}
	return []keyInfo{
		{KeyCurrentTime, "aws:CurrentTime", nil}, {KeyEpochTime, "aws:EpochTime", nil},
		{KeyPrincipalAccount, "aws:PrincipalAccount", nil}, {KeyPrincipalArn, "aws:PrincipalArn", nil},
		{KeyPrincipalType, "aws:PrincipalType", nil}, {KeyReferer, "aws:Referer", nil},
		{KeyRequestTag, "aws:RequestTag/", nil}, {KeyRequestedRegion, "aws:RequestedRegion", nil},
		{KeyResourceAccount, "aws:ResourceAccount", nil}, {KeyResourceAccount, "s3:ResourceAccount", nil},
		{KeyResourceTag, "aws:ResourceTag/", nil}, {KeyResourceTag, "s3:BucketTag/", nil},
		{KeySecureTransport, "aws:SecureTransport", nil},
		{KeySourceIP, "aws:SourceIp", nil}, {KeyTagKeys, "aws:TagKeys", nil}, {KeyTokenIssueTime, "aws:TokenIssueTime", nil},
		{KeyUserAgent, "aws:UserAgent", nil}, {KeyUserID, "aws:userid", nil}, {KeyUsername, "aws:username", nil},

		{OtherKey, "aws:CalledVia", nil}, {OtherKey, "aws:CalledViaFirst", nil}, {OtherKey, "aws:CalledViaLast", nil},
		{OtherKey, "aws:FederatedProvider", nil}, {OtherKey, "aws:MultiFactorAuthAge", nil}, {OtherKey, "aws:MultiFactorAuthPresent", nil},
		{OtherKey, "aws:PrincipalIsAWSService", nil}, {OtherKey, "aws:PrincipalOrgID", nil}, {OtherKey, "aws:PrincipalOrgPaths", nil},
		{OtherKey, "aws:PrincipalServiceName", nil}, {OtherKey, "aws:PrincipalServiceNamesList", nil}, {OtherKey, "aws:PrincipalTag/", nil},
		{OtherKey, "aws:ResourceOrgID", nil}, {OtherKey, "aws:ResourceOrgPaths", nil}, {OtherKey, "aws:SourceAccount", nil},
		{OtherKey, "aws:SourceArn", nil}, {OtherKey, "aws:SourceIdentity", nil}, {OtherKey, "aws:SourceOrgID", nil},
		{OtherKey, "aws:SourceOrgPaths", nil}, {OtherKey, "aws:SourceOwner", nil}, {OtherKey, "aws:SourceVpc", nil},
		{OtherKey, "aws:SourceVpcArn", nil}, {OtherKey, "aws:SourceVpce", nil}, {OtherKey, "aws:ViaAWSService", nil},
		{OtherKey, "aws:VpcSourceIp", nil}, {OtherKey, "s3:AccessGrantsInstanceArn", nil}, {OtherKey, "s3:AccessPointNetworkOrigin", nil},
		{OtherKey, "s3:AccessPointTag/", nil}, {OtherKey, "s3:DataAccessPointAccount", nil}, {OtherKey, "s3:DataAccessPointArn", nil},
		{OtherKey, "s3:InventoryAccessibleOptionalFields", only(PutInventoryConfiguration)},

		{KeyAuthType, "s3:authType", nil}, {KeyDelimiter, "s3:delimiter", lists},
		{KeyExistingObjectTag, "s3:ExistingObjectTag/", existing},
		{KeyGrantFullControl, "s3:x-amz-grant-full-control", acl}, {KeyGrantRead, "s3:x-amz-grant-read", acl},
		{KeyGrantReadACP, "s3:x-amz-grant-read-acp", acl}, {KeyGrantWrite, "s3:x-amz-grant-write", acl},
		{KeyGrantWriteACP, "s3:x-amz-grant-write-acp", acl},
		{KeyIfMatch, "s3:if-match", only(PutObject, DeleteObject)}, {KeyIfNoneMatch, "s3:if-none-match", only(PutObject)},
		{KeyLocationConstraint, "s3:LocationConstraint", only(CreateBucket)},
		{KeyLegalHold, "s3:object-lock-legal-hold", locks}, {KeyLockMode, "s3:object-lock-mode", locks},
		{KeyLockRemainingDays, "s3:object-lock-remaining-retention-days", locks}, {KeyLockUntil, "s3:object-lock-retain-until-date", locks},
		{KeyMaxKeys, "s3:max-keys", lists}, {KeyObjectCreation, "s3:ObjectCreationOperation", only(PutObject)}, {KeyPrefix, "s3:prefix", lists},
		{KeyRequestObjectTag, "s3:RequestObjectTag/", tagged}, {KeyRequestObjectTagKeys, "s3:RequestObjectTagKeys", tagged},
		{KeySignatureAge, "s3:signatureAge", nil}, {KeySignatureVersion, "s3:signatureversion", nil}, {KeyTLSVersion, "s3:TlsVersion", nil},
		{KeyVersionID, "s3:VersionId", versions}, {KeyACL, "s3:x-amz-acl", acl}, {KeyContentSHA256, "s3:x-amz-content-sha256", nil},
		{KeyCopySource, "s3:x-amz-copy-source", only(PutObject)}, {KeyMetadataDirective, "s3:x-amz-metadata-directive", only(PutObject)},
		{KeyObjectOwnership, "s3:x-amz-object-ownership", only(CreateBucket, PutBucketOwnershipControls)},
		{KeyEncryption, "s3:x-amz-server-side-encryption", put}, {KeyEncryptionKMSKey, "s3:x-amz-server-side-encryption-aws-kms-key-id", put},
		{KeyEncryptionCustomerAlgorithm, "s3:x-amz-server-side-encryption-customer-algorithm", only(PutObject, GetObject, GetObjectVersion, ReplicateObject)},
		{KeyStorageClass, "s3:x-amz-storage-class", only(PutObject, ReplicateObject, RestoreObject)},
		{KeyWebsiteRedirect, "s3:x-amz-website-redirect-location", put},
	}
}

// KeyNamed returns the key of a name, whose case does not count (that of a tag
// does); false if it is not documented.
func KeyNamed(name string) (Key, bool) {
	key, _, ok := keyNamed(name)
	return key, ok
}

func keyNamed(name string) (Key, *keyInfo, bool) {
	for _, info := range keyTable() {
		if strings.EqualFold(info.name, name) && !strings.HasSuffix(info.name, "/") {
			return Key{ID: info.id, name: info.name}, &info, true
		}
		if n := len(info.name); info.name[n-1] == '/' && len(name) > n && strings.EqualFold(name[:n], info.name) {
			return Key{ID: info.id, name: info.name, Tag: name[n:]}, &info, true
		}
	}
	return Key{}, nil, false
}
