package disk

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// A journal is a file with everything that changed the mountpaths of a node, in order:
// a Recorder writes it, and a Replay does it again in memory. It begins with a line that
// names its format; then come entries, each behind its length as a uvarint. A position
// in a journal is an offset in the file; what is behind the last whole entry is what a
// kill has cut off, and counts for nothing.

// journalFormat is the first line of a journal.
const journalFormat = "troupe journal 1\n"

// Words of entries that are no Calls.
const (
	wordMount  = "mount"  // path is a mountpath's directory, mount its number from now on
	wordSynced = "synced" // the sync of that id succeeded
	wordFailed = "failed" // the sync of that id failed
)

// journalEntry is one change, or the beginning or the end of a sync. Of its fields those
// count that the word is about.
type journalEntry struct {
	word    string // a Call's, or one of the words above
	mount   uint64
	id      uint64 // of the file or directory that is opened, written, …; of a sync: its own
	handle  uint64 // of a sync: the file or directory; 0: path says which directory, or all is synced
	path    string
	newPath string // the new name of a link or rename; the name in the directory of a receive; of an attribute
	flag    int    // of OpenFile
	offset  int64  // of a write; of a truncate: the new size
	data    []byte // of a write, or an attribute's value
}

// appendTo appends the entry as a journal has it.
func (e *journalEntry) appendTo(dst []byte) []byte {
	var head []byte
	text := func(s string) { head = append(binary.AppendUvarint(head, uint64(len(s))), s...) }
	text(e.word)
	head = binary.AppendUvarint(head, e.mount)
	head = binary.AppendUvarint(head, e.id)
	head = binary.AppendUvarint(head, e.handle)
	text(e.path)
	text(e.newPath)
	head = binary.AppendUvarint(head, uint64(e.flag))
	head = binary.AppendUvarint(head, uint64(e.offset))
	dst = binary.AppendUvarint(dst, uint64(len(head)+len(e.data)))
	return append(append(dst, head...), e.data...)
}

// errJournal says that a file is no journal, or a damaged one.
var errJournal = errors.New("it is no journal of disks, or a damaged one")

// parse reads an entry without its length; its data lies in b.
func (e *journalEntry) parse(b []byte) error {
	bad := false
	number := func() uint64 {
		n, length := binary.Uvarint(b)
		if length <= 0 {
			bad = true
			return 0
		}
		b = b[length:]
		return n
	}
	text := func() string {
		n := number()
		if n > uint64(len(b)) {
			bad = true
			return ""
		}
		s := string(b[:n])
		b = b[n:]
		return s
	}
	e.word, e.mount, e.id, e.handle = text(), number(), number(), number()
	e.path, e.newPath = text(), text()
	e.flag, e.offset = int(number()), int64(number())
	e.data = b
	if bad || e.offset < 0 {
		return errJournal
	}
	return nil
}

// journalReader reads a journal from its beginning.
type journalReader struct {
	file     *os.File
	buffered *bufio.Reader
	size     int64 // of the file when it was opened: who wrote it has ended
	position int64 // behind the last entry that was read
	room     []byte
}

// openJournal opens a journal for reading.
func openJournal(path string) (*journalReader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		r := &journalReader{file: file, buffered: bufio.NewReaderSize(file, 256<<10), size: info.Size(), position: int64(len(journalFormat))}
		format := make([]byte, len(journalFormat))
		if _, err = io.ReadFull(r.buffered, format); err == nil && string(format) == journalFormat {
			return r, nil
		}
		err = fmt.Errorf("%s: %w", path, errJournal)
	}
	return nil, errors.Join(err, file.Close())
}

// next reads the next entry if it ends at a position or before; io.EOF: there is none.
// The entry's data is good until the next call.
func (r *journalReader) next(e *journalEntry, limit int64) error {
	limit = min(limit, r.size)
	if limit <= r.position {
		return io.EOF
	}
	head, err := r.buffered.Peek(int(min(binary.MaxVarintLen64, limit-r.position)))
	if err != nil && err != io.EOF {
		return err
	}
	length, n := binary.Uvarint(head)
	if n < 0 {
		return fmt.Errorf("%s: at %d: %w", r.file.Name(), r.position, errJournal)
	}
	if n == 0 || length > uint64(limit-r.position-int64(n)) {
		return io.EOF
	}
	if _, err := r.buffered.Discard(n); err != nil {
		return err
	}
	if uint64(cap(r.room)) < length {
		r.room = make([]byte, length)
	}
	r.room = r.room[:length]
	if _, err := io.ReadFull(r.buffered, r.room); err != nil {
		return err
	}
	if err := e.parse(r.room); err != nil {
		return fmt.Errorf("%s: at %d: %w", r.file.Name(), r.position, err)
	}
	r.position += int64(n) + int64(length)
	return nil
}
