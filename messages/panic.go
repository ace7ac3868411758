package messages

// Panic makes the actor that gets it fail, as a bug in it would: its mailbox
// waits, its supervisor decides. For faults on purpose; the guard of every actor
// handles it. Answered by a failure once the actor has panicked.
type Panic struct {
	Reason string
	Reply  Reply[struct{}]
}

// Fail implements Failer.
func (m *Panic) Fail(err error) { m.Reply.Fail(err) }
