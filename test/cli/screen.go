package cli

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Screen is a terminal: what a program draws on it is seen as a person sees it, and
// what is typed reaches the program through the kernel, with its echo and its signals.
// It knows the few escapes that programs of this repository use. Safe for concurrent
// use.
type Screen struct {
	master, slave *os.File
	width, height int

	mutex   sync.Mutex
	changed *sync.Cond
	ended   bool // nobody draws any more
	rows    [][]rune
	row     int
	column  int    // may be width: the next character goes to the next row
	escape  string // one that has begun
}

// NewScreen makes a terminal of a size (pty(7), Linux). Close ends it.
func NewScreen(width, height int) (*Screen, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("cli.NewScreen: %w", err)
	}
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(width), Row: uint16(height)})
	}
	var slave *os.File
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close() //nolint:errcheck // it was never used
		return nil, fmt.Errorf("cli.NewScreen: %w", err)
	}
	s := &Screen{master: master, slave: slave, width: width, height: height, rows: make([][]rune, height)}
	s.changed = sync.NewCond(&s.mutex)
	return s, nil
}

// Start starts a program with the screen as its controlling terminal, and draws what
// it writes until nothing has the terminal open any more.
func (s *Screen) Start(command *exec.Cmd) error {
	command.Stdin, command.Stdout, command.Stderr = s.slave, s.slave, s.slave
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err := command.Start()
	s.slave.Close() //nolint:errcheck // the program has its own
	if err != nil {
		return fmt.Errorf("cli.Screen: %w", err)
	}
	go func() {
		buffer := make([]byte, 4096)
		var rest []byte // of a character
		for {
			n, err := s.master.Read(buffer)
			rest = append(rest, buffer[:n]...)
			whole := len(rest)
			for whole > 0 && whole > len(rest)-4 && rest[whole-1] >= 0x80 && err == nil {
				whole-- // it may be cut in the middle
			}
			s.draw(string(rest[:whole]), err != nil)
			rest = append([]byte(nil), rest[whole:]...)
			if err != nil { // EIO: the other end is closed
				return
			}
		}
	}()
	return nil
}

// Type types.
func (s *Screen) Type(keys string) error {
	_, err := s.master.WriteString(keys)
	return err
}

// Close takes the terminal away.
func (s *Screen) Close() error { return s.master.Close() }

// Await waits until the screen satisfies a condition, or nobody draws any more, and
// returns its lines without the spaces at their ends and the empty ones at the end.
func (s *Screen) Await(condition func(lines []string) bool) []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for {
		lines := s.lines()
		if s.ended || condition(lines) {
			return lines
		}
		s.changed.Wait()
	}
}

// lines is what is to be seen. With the mutex.
func (s *Screen) lines() []string {
	var lines []string
	for _, row := range s.rows {
		lines = append(lines, strings.TrimRight(string(row), " "))
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

func (s *Screen) draw(text string, end bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, r := range text {
		s.put(r)
	}
	s.ended = s.ended || end
	s.changed.Broadcast()
}

// put draws one character, or takes one of an escape.
func (s *Screen) put(r rune) {
	switch {
	case s.escape == "\x1b" && r != '[':
		s.escape = ""
	case s.escape != "" && (r < '@' || r > '~' || s.escape == "\x1b"):
		s.escape += string(r)
	case s.escape != "":
		s.control(strings.TrimPrefix(s.escape, "\x1b["), r)
		s.escape = ""
	case r == '\x1b':
		s.escape = "\x1b"
	case r == '\r':
		s.column = 0
	case r == '\n':
		s.down()
	case r < ' ':
	default:
		if s.column == s.width {
			s.column = 0
			s.down()
		}
		for len(s.rows[s.row]) <= s.column {
			s.rows[s.row] = append(s.rows[s.row], ' ')
		}
		s.rows[s.row][s.column] = r
		s.column++
	}
}

// down goes to the next row; at the end of the screen everything moves up.
func (s *Screen) down() {
	if s.row++; s.row == s.height {
		s.row--
		s.rows = append(s.rows[1:], nil)
	}
}

// control carries out an escape: n rows up, and what is behind the cursor in its row,
// or in it and below, goes. Others show nothing.
func (s *Screen) control(parameter string, what rune) {
	clear := func() { s.rows[s.row] = s.rows[s.row][:min(s.column, len(s.rows[s.row]))] }
	switch what {
	case 'A':
		n, err := strconv.Atoi(parameter)
		if err != nil {
			n = 1
		}
		s.row = max(0, s.row-n)
	case 'K':
		clear()
	case 'J':
		clear()
		for i := s.row + 1; i < s.height; i++ {
			s.rows[i] = nil
		}
	}
}
