package httpedge

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Bind binds a listener's address. The error's kind says why it could not be:
// errs.Exists if the port is in use (and by which process, where /proc tells),
// errs.Denied if the system does not let this user have it, errs.Invalid if this
// machine has no such address, errs.IO otherwise.
func Bind(address string) (net.Listener, error) {
	const op errs.Op = "httpedge.Bind"
	socket, err := net.Listen("tcp", address)
	if err == nil {
		return socket, nil
	}
	var lookup *net.DNSError
	var form *net.AddrError
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		if who := ownerOf(procRoot, address); who != "" {
			err = fmt.Errorf("%w, by %s", err, who)
		}
		return nil, errs.E(op, address, errs.Exists, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return nil, errs.E(op, address, errs.Denied, fmt.Errorf("%w; ports below %d need the capability CAP_NET_BIND_SERVICE, or choose a higher one", err, firstFreePort))
	case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.EAFNOSUPPORT), errors.As(err, &lookup), errors.As(err, &form):
		return nil, errs.E(op, address, errs.Invalid, fmt.Errorf("%w; this machine has no such address", err))
	}
	return nil, errs.E(op, address, errs.IO, err)
}

// firstFreePort is the first port that needs no privilege, as Linux is set up.
const firstFreePort = 1024

// procRoot is where the kernel tells about processes and sockets.
const procRoot = "/proc"

// stateListen is TCP_LISTEN in /proc/net/tcp. Source: Linux,
// include/net/tcp_states.h.
const stateListen = "0A"

// ownerOf names the process that listens on the port of an address, "" if it
// cannot be found out: the sockets of other users' processes belong to nobody
// that an ordinary user sees.
func ownerOf(proc, address string) string {
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	port, err := net.LookupPort("tcp", text)
	if err != nil || port == 0 {
		return ""
	}
	inodes := make(map[string]bool)
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		listeners(filepath.Join(proc, table), port, inodes)
	}
	if len(inodes) == 0 {
		return ""
	}
	processes, err := os.ReadDir(proc)
	if err != nil {
		return ""
	}
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		folder := filepath.Join(proc, p.Name(), "fd")
		files, err := os.ReadDir(folder)
		if err != nil {
			continue // another user's
		}
		for _, f := range files {
			link, err := os.Readlink(filepath.Join(folder, f.Name()))
			if err != nil {
				continue // closed meanwhile
			}
			inode, ok := strings.CutPrefix(link, "socket:[")
			if ok && inodes[strings.TrimSuffix(inode, "]")] {
				name, err := os.ReadFile(filepath.Join(proc, p.Name(), "comm"))
				if err != nil {
					return fmt.Sprintf("process %d", pid)
				}
				return fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(name)))
			}
		}
	}
	return ""
}

// listeners collects the inodes of the sockets that listen on a port.
// Source: proc_pid_net(5), /proc/net/tcp: "sl local_address rem_address st … inode".
func listeners(table string, port int, inodes map[string]bool) {
	file, err := os.Open(table)
	if err != nil {
		return // no such family here
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != stateListen {
			continue
		}
		_, digits, _ := strings.Cut(fields[1], ":")
		raw, err := hex.DecodeString(digits)
		if err != nil || len(raw) != 2 || int(raw[0])<<8|int(raw[1]) != port {
			continue
		}
		inodes[fields[9]] = true
	}
}
