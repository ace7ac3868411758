// Package cluster is what nodes agree on through somebody else: who is there, the
// documents that all of them share, and who leads.
//
// A Provider keeps all that. It is Consul (package consul) or the memory of a
// process (package embedded), has no memory of its own, and does one thing per
// call. What has to go on for a while is here, once for all providers:
//
//	           Presence       Watch        Store        Candidate, Lead
//	       stay registered  see changes  change them   lead while the session lives
//	              │             │            │              │
//	              ▼             ▼            ▼              ▼
//	Provider:  Membership  ·············· Documents ····· Election
//
// The words:
//
//   - A document is a value of at most MaxDocumentBytes under a key. What is in it
//     is nobody's business here. Keys says where each one lies.
//   - An index says when a document was last changed. It serves to compare-and-set
//     and to wait for changes, and means nothing beyond one provider: it begins again
//     when the provider loses its data. Documents carry versions of their own.
//   - A stamp is a random number that is kept with a document by who wrote it: after
//     an answer was lost it tells whether the write happened.
//   - A session stands for a process that is alive. A lock belongs to a session, and
//     the lead to who holds the lock.
//
// Promises: every call ends when its context does. A change is never reported
// unless it is seen in place, and never denied while it might still happen: that is
// objects.ErrOutcomeUnknown. A watch may leave out states between two looks, and
// ends up with the last one whatever fails in between. A Lead is over for its holder
// before its session can expire, so that two never hold it by expiry; if somebody
// ends a session by hand, the lock delay is what is left. Nothing here starts a
// goroutine but Lead, which ends its own in Resign.
//
// An empty answer is not an empty cluster: a provider that lost its data answers
// like one that never had any. Who reads the documents has to tell the two apart.
//
// Start with provider.go, then store.go and candidate.go.
package cluster
