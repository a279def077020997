package provision

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Codes of a Spot request's status, as the API spells them.
const (
	spotEvaluation     = "pending-evaluation"
	spotNoCapacity     = "capacity-not-available"
	spotPriceTooLow    = "price-too-low"
	spotBadParameters  = "bad-parameters"
	spotFulfilled      = "fulfilled"
	spotMarked         = "marked-for-termination"
	spotTerminatedBy   = "instance-terminated-by-user"
	spotTakenBack      = "instance-terminated-no-capacity"
	spotDied           = "instance-terminated-by-service"
	spotScheduleOver   = "schedule-expired"
	spotCancelled      = "canceled-before-fulfillment"
	spotCancelledStill = "request-canceled-and-instance-running"
)

// spotReason is why EC2 takes a Spot instance back.
const spotReason = "Server.SpotInstanceTermination"

// OneTimeSpot refuses what a one-time request that ends with its instance is not.
func OneTimeSpot(kind, behavior string) error {
	switch {
	case kind != "" && kind != "one-time":
		return fault("UnsupportedOperation", "A %s Spot Instance request is not supported yet.", kind)
	case behavior != "" && behavior != "terminate":
		return fault("UnsupportedOperation", "The interruption behavior %s is not supported yet.", behavior)
	}
	return nil
}

// SpotRequest records a request for a Spot instance that FulfilSpot is to launch.
func SpotRequest(tx *store.Tx, r resource.SpotRequest, launch InstanceRequest) (resource.SpotRequest, error) {
	raw, err := json.Marshal(launch)
	if err != nil {
		return r, fmt.Errorf("encoding a Spot request: %w", err)
	}
	r.ID, r.Launch, r.State = awsid.New("sir"), raw, resource.SpotOpen
	r.StatusCode, r.Updated = spotEvaluation, r.Created
	tx.SpotRequests.Put(r.ID, r)
	return r, nil
}

// SpotLaunch is what an open request asks to be launched.
func SpotLaunch(r resource.SpotRequest) (InstanceRequest, error) {
	var launch InstanceRequest
	if len(r.Launch) == 0 {
		return launch, nil
	}
	if err := json.Unmarshal(r.Launch, &launch); err != nil {
		return launch, fmt.Errorf("reading Spot request %s: %w", r.ID, err)
	}
	return launch, nil
}

// FulfilSpot launches the instance of an open request. What EC2 refuses becomes the
// request's status, by NoteSpot: the transaction that was refused must not be kept.
func FulfilSpot(tx *store.Tx, id string, now time.Time) error {
	r, ok := tx.SpotRequests.Get(id)
	if !ok || r.State != resource.SpotOpen {
		return nil
	}
	launch, err := SpotLaunch(r)
	if err != nil {
		return err
	}
	launch.Home, launch.SpotRequest, launch.SpotMaxPrice, launch.Lifecycle, launch.Now = r.Home, r.ID, r.MaxPrice, Spot, now
	_, err = Instance(tx, launch)
	return err
}

// NoteSpot records why a request could not be fulfilled, and reports whether it may be
// later on. Errors that are not EC2's are returned.
func NoteSpot(tx *store.Tx, id string, refusal error, now time.Time) error {
	var e *awsapi.Error
	if !errors.As(refusal, &e) {
		return refusal
	}
	r, ok := tx.SpotRequests.Get(id)
	if !ok || r.State != resource.SpotOpen {
		return nil
	}
	code := spotBadParameters
	switch e.Code {
	case "InsufficientInstanceCapacity", "InsufficientFreeAddressesInSubnet", "MaxSpotInstanceCountExceeded":
		code = spotNoCapacity
	case "SpotMaxPriceTooLow":
		code = spotPriceTooLow
	default:
		r.State = resource.SpotFailed
	}
	setSpotStatus(&r, code, now)
	tx.SpotRequests.Put(id, r)
	return nil
}

// startSpot gives a new Spot instance its request: the one that it fulfils, or one of its
// own, which RunInstances, fleets and scaling groups make by launching.
func startSpot(tx *store.Tx, r InstanceRequest, instance string) string {
	s, ok := tx.SpotRequests.Get(r.SpotRequest)
	if !ok {
		s = resource.SpotRequest{Home: r.Home, ID: awsid.New("sir"), Created: r.Now, MaxPrice: r.SpotMaxPrice, Tags: r.SpotTags}
	}
	s.Instance, s.State, s.Launch = instance, resource.SpotActive, nil
	setSpotStatus(&s, spotFulfilled, r.Now)
	tx.SpotRequests.Put(s.ID, s)
	return s.ID
}

func setSpotStatus(r *resource.SpotRequest, code string, now time.Time) {
	if r.StatusCode != code {
		r.StatusCode, r.Updated = code, now
	}
}

// CancelSpot cancels a request. Its instance, if it has one, stays.
func CancelSpot(tx *store.Tx, r resource.SpotRequest, now time.Time) {
	switch r.State {
	case resource.SpotOpen:
		setSpotStatus(&r, spotCancelled, now)
	case resource.SpotActive:
		setSpotStatus(&r, spotCancelledStill, now)
	default:
		return
	}
	r.State = resource.SpotCancelled
	tx.SpotRequests.Put(r.ID, r)
}

// ExpireSpot ends a request whose time is over before it was fulfilled.
func ExpireSpot(tx *store.Tx, id string, now time.Time) {
	r, ok := tx.SpotRequests.Get(id)
	if !ok || r.State != resource.SpotOpen || r.ValidUntil.IsZero() || now.Before(r.ValidUntil) {
		return
	}
	r.State = resource.SpotCancelled
	setSpotStatus(&r, spotScheduleOver, now)
	tx.SpotRequests.Put(id, r)
}

// ErrNotSpot is that an instance cannot be interrupted.
var ErrNotSpot = errors.New("it is no running Spot instance")

// RecommendRebalance tells a Spot instance that it is at a higher risk of interruption.
func RecommendRebalance(tx *store.Tx, instance string, now time.Time) error {
	return noticeSpot(tx, instance, func(r *resource.SpotRequest) {
		if r.Rebalance.IsZero() {
			r.Rebalance = now
		}
	})
}

// InterruptSpot gives a Spot instance the notice that EC2 takes it back. Package
// controller/spotrequest does so when the time has come. Asking again changes nothing.
func InterruptSpot(tx *store.Tx, instance string, notice time.Duration, now time.Time) error {
	return noticeSpot(tx, instance, func(r *resource.SpotRequest) {
		if r.Rebalance.IsZero() {
			r.Rebalance = now
		}
		if r.Interruption.IsZero() {
			r.Interruption = now.Add(notice)
		}
		if r.State == resource.SpotActive {
			setSpotStatus(r, spotMarked, now)
		}
	})
}

func noticeSpot(tx *store.Tx, instance string, notice func(*resource.SpotRequest)) error {
	i, ok := tx.Instances.Get(instance)
	r, spot := tx.SpotRequests.Get(i.Spec.SpotRequest)
	if s := i.Current(); !ok || !spot || s != resource.InstancePending && s != resource.InstanceRunning {
		return ErrNotSpot
	}
	notice(&r)
	tx.SpotRequests.Put(r.ID, r)
	return nil
}

// TakeBackSpot ends the instance of a request whose notice has run out.
func TakeBackSpot(tx *store.Tx, id string, now time.Time) {
	r, ok := tx.SpotRequests.Get(id)
	if !ok || r.Interruption.IsZero() || now.Before(r.Interruption) {
		return
	}
	if i, ok := tx.Instances.Get(r.Instance); ok && !i.Terminating && i.Status.State != resource.InstanceTerminated {
		terminate(tx, i, spotReason, spotReason+": Spot instance termination", now)
	}
	if r.State == resource.SpotActive {
		r.State = resource.SpotClosed
	}
	setSpotStatus(&r, spotTakenBack, now)
	tx.SpotRequests.Put(id, r)
}

// CloseSpot closes the request of an instance that is going or gone.
func CloseSpot(tx *store.Tx, id string, now time.Time) {
	r, ok := tx.SpotRequests.Get(id)
	if !ok || r.State != resource.SpotActive {
		return
	}
	i, there := tx.Instances.Get(r.Instance)
	code := spotTerminatedBy
	switch {
	case there && !i.Terminating && i.Status.State != resource.InstanceTerminated:
		return
	case there && i.Status.StateCode == spotReason:
		code = spotTakenBack
	case there && i.Status.StateCode == "Server.InternalError":
		code = spotDied
	}
	r.State = resource.SpotClosed
	setSpotStatus(&r, code, now)
	tx.SpotRequests.Put(id, r)
}

// SpotVisible is how long EC2 shows a request after its end.
const SpotVisible = 48 * time.Hour

// SpotOver says whether a request has come to its end: nothing more becomes of it.
func SpotOver(r resource.SpotRequest) bool {
	switch r.State {
	case resource.SpotClosed, resource.SpotFailed:
		return true
	case resource.SpotCancelled: // its instance may run on, and be taken back
		return r.Instance == "" || r.Interruption.IsZero() || r.StatusCode == spotTakenBack
	}
	return false
}

// SpotMessage is what EC2 says besides the code of a request's status.
func SpotMessage(r resource.SpotRequest) string {
	switch r.StatusCode {
	case spotEvaluation:
		return "Your Spot request has been submitted for review, and is pending evaluation."
	case spotNoCapacity:
		return "There is no Spot capacity available that matches your request."
	case spotPriceTooLow:
		return "Your Spot request price is lower than the minimum required Spot request fulfillment price."
	case spotBadParameters:
		return "Your Spot request failed due to bad parameters."
	case spotFulfilled:
		return "Your spot request is fulfilled."
	case spotMarked:
		return "Your Spot instance is marked for termination."
	case spotTakenBack:
		return "Your Spot instance was terminated because there is no Spot capacity available."
	case spotDied:
		return "Your Spot instance was terminated by the service."
	case spotTerminatedBy:
		return "Your Spot instance was terminated due to user-initiated termination."
	case spotScheduleOver:
		return "Your Spot request has expired before it was fulfilled."
	case spotCancelled:
		return "Your Spot request has been canceled before it was fulfilled."
	case spotCancelledStill:
		return "Your Spot request is canceled, but your instance is still running."
	}
	return ""
}
