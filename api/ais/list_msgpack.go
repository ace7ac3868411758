package ais

import "github.com/tinylib/msgp/msgp"

// AppendMessagePack appends the page as MessagePack, in the shape that clients
// decode: a map with the keys of List in Go's spelling, entries as maps with keys
// of one or two letters that leave out what is empty.
func (l *List) AppendMessagePack(b []byte) []byte {
	b = msgp.AppendMapHeader(b, 4)
	b = msgp.AppendString(b, "UUID")
	b = msgp.AppendString(b, l.UUID)
	b = msgp.AppendString(b, "ContinuationToken")
	b = msgp.AppendString(b, l.ContinuationToken)
	b = msgp.AppendString(b, "Entries")
	b = msgp.AppendArrayHeader(b, uint32(len(l.Entries)))
	for i := range l.Entries {
		b = l.Entries[i].appendMessagePack(b)
	}
	b = msgp.AppendString(b, "Flags")
	return msgp.AppendUint32(b, l.Flags)
}

func (e *Entry) appendMessagePack(b []byte) []byte {
	fields := uint32(1)
	for _, text := range [...]string{e.Checksum, e.Atime, e.Version, e.Location, e.Custom} {
		if text != "" {
			fields++
		}
	}
	for _, number := range [...]int64{e.Size, int64(e.Copies), int64(e.Flags)} {
		if number != 0 {
			fields++
		}
	}
	text := func(key, value string) {
		if value != "" {
			b = msgp.AppendString(b, key)
			b = msgp.AppendString(b, value)
		}
	}
	number := func(key string, value int64) {
		if value != 0 {
			b = msgp.AppendString(b, key)
			b = msgp.AppendInt64(b, value)
		}
	}
	b = msgp.AppendMapHeader(b, fields)
	b = msgp.AppendString(b, "n")
	b = msgp.AppendString(b, e.Name)
	text("cs", e.Checksum)
	text("a", e.Atime)
	text("v", e.Version)
	text("t", e.Location)
	text("m", e.Custom)
	number("s", e.Size)
	number("c", int64(e.Copies))
	number("f", int64(e.Flags))
	return b
}
