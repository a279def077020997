package main

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"ekster.dev/ekster/test/lab"
)

// settle is how long the daemon is left alone before its memory is measured.
const settle = 10 * time.Second

// daemonStart is figure 4: from the start of `ekster up --detach` to the first signed
// answer, on a new state directory and on one that was used before.
func (r *run) daemonStart(ctx context.Context) error {
	var fresh, again []float64
	for range min(r.runs, 3) {
		took, err := firstStart(ctx)
		if err != nil {
			return err
		}
		fresh = append(fresh, took)
	}
	var idle memory
	err := withDaemon(ctx, func(d *lab.Daemon, cloud *lab.Cloud) error {
		for range r.runs {
			if err := d.Down(ctx); err != nil {
				return err
			}
			took, err := restart(ctx, d, cloud)
			if err != nil {
				return err
			}
			again = append(again, took)
		}
		select {
		case <-time.After(settle):
		case <-ctx.Done():
			return ctx.Err()
		}
		st, err := d.Status(ctx)
		if err != nil {
			return err
		}
		idle, err = measureMemory(st.PID)
		return err
	})
	if err != nil {
		return err
	}
	ms := func(s []float64) (out []float64) {
		for _, v := range s {
			out = append(out, v*1000)
		}
		return out
	}
	r.report.atMost(line{Figure: "4", What: "daemon, start to first answer", Unit: "ms", Value: median(ms(again)), Samples: ms(again)}, 300)
	r.report.atMost(line{Figure: "4", What: "the same, on a new state directory", Unit: "ms", Value: median(ms(fresh)), Samples: ms(fresh),
		Note: "`up` returned, `env` read, then GetCallerIdentity"}, 300)
	r.report.atMost(line{Figure: "4", What: "idle daemon, RSS", Unit: "MiB", Value: idle.rss, Note: "its PSS is the next line"}, 80)
	r.report.add(line{Figure: "4", What: "idle daemon, PSS", Unit: "MiB", Value: idle.pss})
	return nil
}

// firstStart is a user's: nobody can sign anything before `up` has returned.
func firstStart(ctx context.Context) (took float64, err error) {
	d, err := lab.New()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, purge(context.WithoutCancel(ctx), d)) }()
	began := time.Now()
	if err := d.Up(ctx); err != nil {
		return 0, err
	}
	cloud, err := d.Cloud(ctx)
	if err != nil {
		return 0, err
	}
	_, err = cloud.Account(ctx)
	return seconds(began), err
}

// restart asks from the start on until somebody answers.
func restart(ctx context.Context, d *lab.Daemon, cloud *lab.Cloud) (float64, error) {
	up := make(chan error, 1)
	began := time.Now()
	go func() { up <- d.Up(ctx) }()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := cloud.STS.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); err == nil {
			took := seconds(began)
			return took, <-up
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
