package messages

// Ping is answered by every actor once it has handled all that came before:
// Started, for one. Sent by who wants to know that an actor is at work.
type Ping struct{ Reply Reply[struct{}] }

// Fail implements Failer.
func (m *Ping) Fail(err error) { m.Reply.Fail(err) }
