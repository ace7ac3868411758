package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// How many acknowledgements of a round come before the kill.
const (
	fewestAcks = 50
	mostAcks   = 400
)

// showKills kills the node d.kills times. Its error carries the seed and the
// node's log.
func (d *demo) showKills(ctx context.Context) error {
	if err := d.killAll(ctx); err != nil {
		return fmt.Errorf("kill -9, seed %d: %w\n%s", d.seed, err, d.node.Log())
	}
	return nil
}

// killAll lets writer.py write, kills the node after a number of
// acknowledgements that the seed decides, restarts it, and has writer.py
// compare what is there with what was acknowledged.
func (d *demo) killAll(ctx context.Context) error {
	const bucket = "demo-kill"
	if err := d.tools.makeBucket(ctx, "boto3", bucket); err != nil {
		return err
	}
	journal := filepath.Join(d.dir, "journal.jsonl")
	random := rand.New(rand.NewPCG(d.seed, 0))
	for round := range d.kills {
		acks := fewestAcks + random.IntN(mostAcks-fewestAcks)
		seen, err := d.killDuring(ctx, bucket, journal, round, acks)
		if err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
		begin := time.Now()
		if err := d.node.Restart(ctx); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
		ready := time.Since(begin)
		said, err := d.verify(ctx, bucket, journal)
		if err != nil {
			return fmt.Errorf("round %d, after %d acknowledgements: %w\n%s", round+1, seen, err, said)
		}
		d.acknowledged += seen
		d.say("kill -9 after %d acknowledged operations, ready again after %.2f s: nothing lost, torn or resurrected (%s)",
			seen, ready.Seconds(), said)
	}
	return d.control(ctx, bucket, journal)
}

// verify has writer.py compare a bucket with a journal; it returns what that said.
func (d *demo) verify(ctx context.Context, bucket, journal string) (string, error) {
	verify, err := d.tools.command(ctx, "python3", filepath.Join(d.tools.scripts, "writer.py"), "verify", bucket, journal)
	if err != nil {
		return "", err
	}
	said, err := verify.CombinedOutput()
	return strings.TrimSpace(string(said)), err
}

// control shows that verify can fail: it adds a write to the journal that was
// never sent, as if it had been acknowledged and lost.
func (d *demo) control(ctx context.Context, bucket, journal string) error {
	file, err := os.OpenFile(journal, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(`{"try": "control", "values": {"t0/000": "never written"}}` + "\n" + `{"ack": "control"}` + "\n")
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	said, err := d.verify(ctx, bucket, journal)
	if err == nil || !strings.Contains(said, "may hold ['never written']") {
		return fmt.Errorf("a lost write was not noticed: %v: %s", err, said)
	}
	return nil
}

// killDuring starts the writer, kills the node after so many acknowledgements,
// and returns how many there were when the writer had ended.
func (d *demo) killDuring(ctx context.Context, bucket, journal string, round, acks int) (int, error) {
	seed := strconv.FormatUint(d.seed, 10) + "." + strconv.Itoa(round)
	writer, err := d.tools.command(ctx, "python3", filepath.Join(d.tools.scripts, "writer.py"), "write", bucket, journal, seed)
	if err != nil {
		return 0, err
	}
	var trouble bytes.Buffer
	writer.Stderr = &trouble
	acknowledged, err := writer.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := writer.Start(); err != nil {
		return 0, err
	}
	seen := 0
	for lines := bufio.NewScanner(acknowledged); lines.Scan(); {
		seen++
		if seen != acks {
			continue
		}
		if !d.node.Running() {
			break
		}
		if err := d.node.Kill(); err != nil {
			return seen, err
		}
	}
	if err := writer.Wait(); err != nil {
		return seen, fmt.Errorf("the writer: %w\n%s", err, trouble.Bytes())
	}
	if seen < acks {
		return seen, fmt.Errorf("the node stopped answering after %d acknowledgements, before it was killed\n%s", seen, trouble.Bytes())
	}
	return seen, nil
}
