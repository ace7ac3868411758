package messages

// Subjected is a message that says what it is about, for people who look at an
// actor. Subject is called while the message is handled, from other goroutines:
// it reads only what nobody changes once the message is sent.
type Subjected interface{ Subject() string }

// Subject implements Subjected.
func (m *PutObject) Subject() string { return m.Key.String() }

// Subject implements Subjected.
func (m *OpenObject) Subject() string { return m.Key.String() }

// Subject implements Subjected.
func (m *DeleteObject) Subject() string { return m.Key.String() }

// Subject implements Subjected.
func (m *ListObjects) Subject() string { return m.Bucket.Name + "/" + m.Prefix }

// Subject implements Subjected.
func (m *DropBucket) Subject() string { return m.Bucket.Name }

// Subject implements Subjected.
func (m *EmptyBucket) Subject() string { return m.Bucket.Name }

// Subject implements Subjected.
func (m *ChangeDraft) Subject() string { return m.Key.String() }

// Subject implements Subjected.
func (m *CreateUpload) Subject() string { return m.Key.String() }

// Subject implements Subjected.
func (m *CompleteUpload) Subject() string { return m.Key.String() }

// Subject implements Subjected.
func (m *AbortUpload) Subject() string { return m.Key.String() }

// Subject implements Subjected.
func (m *ListParts) Subject() string { return m.Key.String() }

// Subject implements Subjected.
func (m *ListUploads) Subject() string { return m.Bucket.Name + "/" + m.Prefix }

// Subject implements Subjected.
func (m *OpenUpload) Subject() string { return m.Key.String() }

// Subject implements Subjected.
func (m *CreateBucket) Subject() string { return m.Name }

// Subject implements Subjected.
func (m *DestroyBucket) Subject() string { return m.Name }

// Subject implements Subjected.
func (m *SetBucketProps) Subject() string { return m.Name }
